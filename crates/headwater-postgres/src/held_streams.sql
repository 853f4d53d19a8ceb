select h.stream
from {schema}.held_streams($1) as h (stream)
