select outcome, positions, versions, stream_index, actual, event_id
from {schema}.append($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
