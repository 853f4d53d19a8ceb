delete from inline_projections
where projection = $1
