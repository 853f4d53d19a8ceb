select projection, generation, state, position, event_id, event_position, epoch, fingerprint,
       failed_position, failed_event_id, error, updated_at, paused, held_back, rebuild_asked,
       incarnation = (select incarnation from {schema}.identity) as of_this_log,
       (select count(*) from {schema}.parked
        where parked.projection = checkpoints.projection and parked.generation = checkpoints.generation) as parked
from {schema}.checkpoints
where projection = $1 and generation = $2
for update
