select outcomes, conflicts, actuals, taken, bases, positions, found_positions, found_versions
from {schema}.append($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)
