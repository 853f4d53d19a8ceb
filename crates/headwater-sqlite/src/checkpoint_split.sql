insert into checkpoints (projection, generation, state, position, event_id, event_position, epoch, fingerprint, updated_at,
                         paused, incarnation)
select $3, generation, state, position, event_id, event_position, epoch, fingerprint, updated_at, paused, incarnation
from checkpoints
where projection = $1 and generation = $2
