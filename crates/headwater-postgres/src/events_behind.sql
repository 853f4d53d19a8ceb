select position, stream, version, id, type, schema_version, data, metadata, correlation_id, causation_id, occurred_at, recorded_at
from {schema}.events
where position > $1
order by position
limit $2
