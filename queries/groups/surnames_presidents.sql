-- All presidents' surnames
-- Tokens of any US president's surname, whole words however many tokens they have. Some are also common nouns or places (Grant, Ford, Washington).
word in (
    'Washington', 'Adams', 'Jefferson', 'Madison', 'Monroe', 'Jackson', 'Buren', 'Harrison', 'Tyler',
    'Polk', 'Taylor', 'Fillmore', 'Pierce', 'Buchanan', 'Lincoln', 'Johnson', 'Grant', 'Hayes',
    'Garfield', 'Arthur', 'Cleveland', 'McKinley', 'Roosevelt', 'Taft', 'Wilson', 'Harding',
    'Coolidge', 'Hoover', 'Truman', 'Eisenhower', 'Kennedy', 'Nixon', 'Ford', 'Carter', 'Reagan',
    'Bush', 'Clinton', 'Obama', 'Trump', 'Biden'
)
