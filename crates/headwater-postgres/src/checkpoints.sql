select projection, generation, state, position, event_id, event_position, epoch, fingerprint,
       failed_position, failed_event_id, error, updated_at, paused, held_back, rebuild_asked,
       incarnation = (select incarnation from {schema}.identity)
           and (event_id is null or exists (
               select 1 from {schema}.events e where e.position = event_position and e.id = event_id)) as of_this_log,
       (select count(*) from {schema}.parked
        where parked.projection = checkpoints.projection and parked.generation = checkpoints.generation) as parked,
       state = 'live' and exists (
           select 1 from {schema}.inline_projections i where i.projection = checkpoints.projection) as inline,
       error_code, skips
from {schema}.checkpoints
where $1::text is null
   or projection = $1 and case when $2::integer is null then state = 'live' else generation = $2 end
order by projection, generation
