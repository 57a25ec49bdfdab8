-- grain: one row per token occurrence and checkpoint: the long format, exactly its seven columns
create view losses as select * exclude (file_row_number) from loss_files
