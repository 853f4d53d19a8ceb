-- Epochs begin with the moment, so that who worked on a generation that was dropped cannot go on with a later one that
-- has its number.
insert into {schema}.checkpoints (projection, generation, state, fingerprint, incarnation, epoch)
select $1, $2, $3, $4, incarnation, (extract(epoch from clock_timestamp()) * 1000000)::bigint
from {schema}.identity
on conflict do nothing
