insert into {schema}.parked (projection, generation, position, event_id, stream, type, bytes, attempts, error, retry,
                    parked_at, error_code)
select $3, generation, position, event_id, stream, type, bytes, attempts, error, retry, parked_at, error_code
from {schema}.parked
where projection = $1 and generation = $2
