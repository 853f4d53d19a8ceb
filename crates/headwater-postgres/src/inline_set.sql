insert into {schema}.inline_projections (projection)
values ($1)
on conflict do nothing
