-- Epochs begin with the moment, so that who worked on a generation that was dropped cannot go on with a later one that
-- has its number.
insert into checkpoints (projection, generation, state, fingerprint, updated_at, epoch, incarnation)
select $1, $2, $3, $4, $5, $5, incarnation
from identity
where true
on conflict do nothing
