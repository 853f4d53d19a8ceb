insert into {schema}.parked (projection, generation, position, event_id, stream, type, bytes, attempts, error, retry,
                    parked_at)
select $3, generation, position, event_id, stream, type, bytes, attempts, error, retry, parked_at
from {schema}.parked
where projection = $1 and generation = $2
