-- a token's loss at a checkpoint, in nats, as in groups of the app; the unusual names avoid
-- conflicts with the caller's columns, such as "row"
create macro loss_at(token_row, step) as (
    select loss__
    from (select "row" as row__, checkpoint as checkpoint__, loss as loss__ from loss_rows)
    where row__ = token_row and checkpoint__ = step
)
