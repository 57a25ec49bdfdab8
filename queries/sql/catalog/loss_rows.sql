-- grain: one row per token occurrence and checkpoint, by the occurrence's row: the fastest to join
create view loss_rows as select file_row_number as "row", checkpoint, loss from loss_files
