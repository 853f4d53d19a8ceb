insert into {schema}.checkpoints (projection, generation, state, fingerprint, incarnation)
select $1, $2, $3, $4, incarnation
from {schema}.identity
on conflict do nothing
