//! Resident numbers after GB 11643: 6 digits of a region, 8 of a birth date, 3 of a sequence
//! (odd for men), and a check character (ISO 7064 MOD 11-2).

/// Weights of the first 17 digits: powers of two modulo 11, from the left.
const WEIGHTS: [u32; 17] = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
/// The check character for each remainder.
const CHECK: [char; 11] = ['1', '0', 'X', '9', '8', '7', '6', '5', '4', '3', '2'];

/// The check character of 17 digits; none where they are not digits.
pub fn check_character(digits: &str) -> Option<char> {
    if digits.len() != 17 {
        return None;
    }
    let sum = digits
        .chars()
        .zip(WEIGHTS)
        .map(|(digit, weight)| Some(digit.to_digit(10)? * weight))
        .sum::<Option<u32>>()?;
    CHECK.get((sum % 11) as usize).copied()
}

/// Whether a number in its normal form has the right length, digits and check character.
pub fn is_valid(number: &str) -> bool {
    match number.char_indices().nth(17) {
        Some((at, last)) if number.len() == at + 1 => check_character(&number[..at]) == Some(last),
        _ => false,
    }
}
