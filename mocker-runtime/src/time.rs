//! Points in time as the log, the record and the journal spell them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// RFC 3339 in UTC, to the nanosecond.
pub(crate) fn rfc3339(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = civil(days as i64);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let nanos = since.subsec_nanos();
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{nanos:09}Z")
}

/// Days after 1970-01-01 to year, month and day: the years are counted from March, so that the leap day
/// comes last, in cycles of 400 years of 146,097 days.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468; // from 0000-03-01
    let (cycle, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let in_month = day - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (cycle * 400 + year + carry, month, in_month)
}

/// The other way round, for what `rfc3339` wrote.
pub(crate) fn parse_rfc3339(text: &str) -> Option<SystemTime> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let [year, month, day] = numbers(date, '-')?;
    let (time, nanos) = time.split_once('.')?;
    let [hour, minute, second] = numbers(time, ':')?;
    let of_day = hour * 3600 + minute * 60 + second;
    let seconds = u64::try_from(days(year, month, day) * 86_400 + of_day).ok()?;
    Some(UNIX_EPOCH + Duration::new(seconds, nanos.parse().ok()?))
}

fn numbers(text: &str, between: char) -> Option<[i64; 3]> {
    let mut words = text.split(between).map(str::parse);
    let mut next = || words.next()?.ok();
    Some([next()?, next()?, next()?])
}

/// Days from 1970-01-01, counted as `civil` counts them.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (cycle, year) = (year.div_euclid(400), year.rem_euclid(400));
    let in_year = (153 * month + 2) / 5 + day - 1;
    cycle * 146_097 + 365 * year + year / 4 - year / 100 + in_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_become_dates_across_leap_years_and_centuries_and_back() {
        for (number, date) in
            [(0, (1970, 1, 1)), (11_016, (2000, 2, 29)), (11_017, (2000, 3, 1)), (20_779, (2026, 11, 22))]
        {
            assert_eq!(civil(number), date);
            let (year, month, day) = date;
            assert_eq!(days(year, month, day), number);
        }
    }

    #[test]
    fn a_point_in_time_is_read_as_it_was_written() {
        let time = UNIX_EPOCH + Duration::new(1_795_340_445, 123_456_789);
        assert_eq!(rfc3339(time), "2026-11-22T09:40:45.123456789Z");
        assert_eq!(parse_rfc3339(&rfc3339(time)), Some(time));
        for bad in
            ["", "2026-11-22", "2026-11-22T09:40:45.1", "x-11-22T09:40:45.1Z", "1960-01-01T00:00:00.0Z"]
        {
            assert_eq!(parse_rfc3339(bad), None, "{bad:?}");
        }
    }
}
