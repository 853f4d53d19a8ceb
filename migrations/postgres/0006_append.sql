-- The function `append` takes the name of its stream with each event. Its place is taken by one with another
-- signature.

drop function if exists {schema}.append(
    integer, text[], boolean[], integer[], integer[], bigint[], bigint[], integer[], bigint[], uuid[], text[],
    integer[], text[], text[], uuid[], uuid[], timestamptz[]
);
