update checkpoints
set fingerprint = $4,
    epoch = epoch + 1
where projection = $1 and generation = $2 and epoch = $3
