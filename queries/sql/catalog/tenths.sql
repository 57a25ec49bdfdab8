-- the key of t_quantiles for degrees of freedom, rounded down; NULL for too few effective source
-- documents, which have no band
create macro tenths(degrees, n_docs_effective) as
case
    when n_docs_effective >= 4 - 1e-9
        then least(greatest(floor(10 * degrees + 1e-6), 10), 10000)::bigint
end
