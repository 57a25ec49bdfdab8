-- grain: one row per number of degrees of freedom that a band can have, since SQL has no t quantile
create table t_quantiles as
select
    unnest($degrees::bigint[]) as degrees_of_freedom,
    unnest($quantiles::double[]) as quantile
