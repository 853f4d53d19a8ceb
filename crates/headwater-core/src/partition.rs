//! Partitions: parts of a fold, told apart by the keys of their rows.
//!
//! A partition reads the whole log and changes the rows of its own keys alone, so that each row is folded in
//! the order of the log. It has a checkpoint and a lease of its own, under its unit's name: `sales` for the
//! first partition, `sales/1` for the second. A generation is built as a whole, and comes into service in
//! parts.

use crate::Value;

/// The name under which a partition has its checkpoint.
pub fn unit(projection: &str, partition: u32) -> String {
    match partition {
        0 => projection.to_owned(),
        _ => format!("{projection}/{partition}"),
    }
}

/// The projection that a unit is a part of.
pub fn projection_of(unit: &str) -> &str {
    unit.split_once('/').map_or(unit, |(projection, _)| projection)
}

/// The partition that the row with this key belongs to: the same in each program, for ever.
pub fn of_key(key: &[Value], partitions: u32) -> u32 {
    // FNV-1a, 64 bits: http://www.isthe.com/chongo/tech/comp/fnv/
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut take = |bytes: &[u8]| {
        for byte in bytes {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
        // Between two values, so that they cannot be shifted into each other.
        hash = (hash ^ 0xff).wrapping_mul(0x0100_0000_01b3);
    };
    for value in key {
        match value {
            Value::Null => take(&[]),
            Value::Bool(value) => take(&[u8::from(*value)]),
            Value::Int(value) => take(&value.to_le_bytes()),
            Value::Float(value) => take(&value.to_bits().to_le_bytes()),
            Value::Text(value) => take(value.as_bytes()),
            Value::Uuid(value) => take(value.as_bytes()),
            Value::Time(value) => take(&value.timestamp_micros().to_le_bytes()),
            Value::Date(value) => take(value.to_string().as_bytes()),
            Value::Json(value) => take(value.to_string().as_bytes()),
        }
    }
    // The low bits alone mix badly.
    let partition = (hash ^ (hash >> 32)) % u64::from(partitions.max(1));
    u32::try_from(partition).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_partition_has_the_projections_name() {
        let units: Vec<_> = (0..3).map(|partition| unit("sales", partition)).collect();
        assert_eq!(units, ["sales", "sales/1", "sales/2"]);
        assert!(units.iter().all(|unit| projection_of(unit) == "sales"));
    }

    #[test]
    fn keys_are_spread_and_stay_where_they_are() {
        let mut counts = [0; 4];
        for n in 0..4_000 {
            counts[of_key(&[format!("account-{n}").into()], 4) as usize] += 1;
        }
        assert!(counts.iter().all(|count| (900..1_100).contains(count)), "{counts:?}");
        // A row that moved would be changed by two.
        assert_eq!(of_key(&["ada".into()], 7), 3);
        assert_eq!(of_key(&[42_i64.into(), "GBP".into()], 7), 3);
    }
}
