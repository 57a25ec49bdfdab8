-- grain: one row per file of predictions: what the model predicted in the place of token $row
select checkpoint, rank, entropy, top_id, top_str, exp(-top_loss::double) as top_probability
from read_parquet($files::varchar[], file_row_number = true)
where file_row_number = $row
order by checkpoint
