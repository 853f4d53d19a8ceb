insert into inline_projections (projection)
values ($1)
on conflict do nothing
