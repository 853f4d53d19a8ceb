insert into checkpoints (projection, generation, state, fingerprint, updated_at)
values ($1, $2, $3, $4, $5)
on conflict do nothing
