insert into {schema}.checkpoints (projection, generation, state, fingerprint)
values ($1, $2, $3, $4)
on conflict do nothing
