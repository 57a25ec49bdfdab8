-- grain: one row per token occurrence and checkpoint that has predictions
create or replace view predictions as select * exclude (file_row_number) from prediction_files
