-- a token's loss at a checkpoint, in nats, as in groups of the app; the odd names keep what a caller
-- writes, such as its own column "row", from being taken for the columns in here
create macro loss_at(token_row, step) as (
    select loss__
    from (select "row" as row__, checkpoint as checkpoint__, loss as loss__ from loss_rows)
    where row__ = token_row and checkpoint__ = step
)
