-- grain: one row per token occurrence at which the text continues with $wanted, in any case
with candidates as ( -- the doc's text is read only at tokens that fit, as that takes longer
    select "row", text, char_start
    from tokens
    where ltrim(token_str) <> ''
      and (
          starts_with(lower($wanted), lower(ltrim(token_str)))
          or starts_with(lower(ltrim(token_str)), lower($wanted))
      )
)
select "row"
from candidates
where starts_with(lower(ltrim(text[char_start + 1:char_start + length($wanted) + 8])), lower($wanted))
order by "row"
