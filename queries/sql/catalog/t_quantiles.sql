-- grain: one row per tenth of a degree of freedom that a band can have, since SQL has no t quantile
create table t_quantiles as
select
    unnest($tenths::bigint[]) as tenths,
    unnest($quantiles::double[]) as quantile
