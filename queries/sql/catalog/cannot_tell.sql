-- the verdict of queries/stats/bands.py on a number of effective source documents
create macro cannot_tell(n_docs_effective) as
case
    when n_docs_effective >= 4 - 1e-9 then ''
    else printf(
        'cannot tell: %.1f effective source documents, at least 4 are needed',
        least(n_docs_effective::double, 3.9)
    )
end
