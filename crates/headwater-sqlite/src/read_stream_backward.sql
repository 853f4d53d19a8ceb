select position, stream, version, id, type, schema_version, data, metadata, correlation_id, causation_id, occurred_at, recorded_at
from events
where stream = $1 and version <= $2
order by version desc
limit $3
