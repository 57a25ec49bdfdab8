-- grain: one row per token occurrence and checkpoint that has predictions, by the occurrence's row
create or replace view prediction_rows as
select file_row_number as "row", checkpoint, rank, entropy, top_id, top_str, top_loss
from prediction_files
