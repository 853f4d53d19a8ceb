insert into events (stream, category, version, id, type, schema_version, data, metadata,
                    correlation_id, causation_id, occurred_at, recorded_at)
select value ->> 0, value ->> 1, value ->> 2, unhex(value ->> 3), value ->> 4, value ->> 5, value ->> 6, value ->> 7,
       unhex(value ->> 8), unhex(value ->> 9), value ->> 10, $2
from json_each($1)
returning id, position
