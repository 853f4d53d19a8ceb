insert into checkpoints (projection, generation, state, fingerprint, updated_at, incarnation)
select $1, $2, $3, $4, $5, incarnation
from identity
where true
on conflict do nothing
