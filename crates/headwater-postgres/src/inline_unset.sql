delete from {schema}.inline_projections
where projection = $1
