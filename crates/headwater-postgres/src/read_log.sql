select position, stream, version, id, type, schema_version, data, metadata, correlation_id, causation_id, occurred_at, recorded_at
from {schema}.events
where position > $1 and position <= $2
  and ($3::text[] is null or category = any ($3))
  and ($4::text[] is null or stream = any ($4))
  and ($5::text[] is null or type = any ($5))
  and ($6::uuid is null or correlation_id = $6)
  and ($7::uuid is null or id = $7)
  and ($8::timestamptz is null or recorded_at >= $8)
  and ($9::timestamptz is null or recorded_at < $9)
order by position
