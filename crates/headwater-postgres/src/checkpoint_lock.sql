select generation
from {schema}.checkpoints
where projection = $1 and case when $2::integer is null then state = 'live' else generation = $2 end
for update
