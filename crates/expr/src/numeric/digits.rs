//! Numbers as lists of base-10000 digits: `0.d₀d₁d₂… × 10000^(weight + 1)`, and the schoolbook algorithms.

use std::cmp::Ordering;

pub(super) const BASE: u32 = 10_000;

/// The most decimal digits that every number of that length fits an i128 with.
const SCALED_DIGITS_MAX: i32 = 38;

/// Normalized: no zeros at either end; zero has no digits and is not negative.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Digits {
    pub negative: bool,
    /// The power of 10000 that the first digit counts.
    pub weight: i32,
    /// Decimal digits shown behind the point.
    pub scale: i32,
    pub digits: Vec<u16>,
}

/// The base-10000 digits of `mantissa / 10^scale`: a buffer, where in it they begin, how many they are, and
/// the weight of the first. Without zeros at either end.
pub(super) fn split(mut mantissa: u128, scale: u16) -> ([u16; 11], usize, usize, i32) {
    let mut buffer = [0_u16; 11];
    if mantissa == 0 {
        return (buffer, 0, 0, 0);
    }
    // The last digit counts 10000^-groups; fill it up with zeros if the scale does not fill it.
    let groups = (i32::from(scale) + 3) / 4;
    let fill = groups * 4 - i32::from(scale);
    let mut at = buffer.len();
    if fill > 0 {
        let cut = 10_u128.pow(4 - fill as u32);
        at -= 1;
        buffer[at] = (mantissa % cut) as u16 * 10_u16.pow(fill as u32);
        mantissa /= cut;
    }
    while mantissa > u128::from(u64::MAX) {
        at -= 1;
        buffer[at] = (mantissa % 10_000) as u16;
        mantissa /= 10_000;
    }
    let mut rest = mantissa as u64;
    while rest > 0 {
        at -= 1;
        buffer[at] = (rest % 10_000) as u16;
        rest /= 10_000;
    }
    while buffer[at] == 0 {
        at += 1;
    }
    let weight = (buffer.len() - at) as i32 - groups - 1;
    let mut end = buffer.len();
    while buffer[end - 1] == 0 {
        end -= 1;
    }
    (buffer, at, end - at, weight)
}

impl Digits {
    pub fn zero(scale: i32) -> Digits {
        Digits { negative: false, weight: 0, scale, digits: Vec::new() }
    }

    pub fn from_scaled(mantissa: i128, scale: u16) -> Digits {
        let (buffer, from, len, weight) = split(mantissa.unsigned_abs(), scale);
        Digits { negative: mantissa < 0, weight, scale: i32::from(scale), digits: buffer[from..from + len].to_vec() }
    }

    pub fn from_int(value: i128) -> Digits {
        Digits::from_scaled(value, 0)
    }

    /// The 128-bit form, if all shown digits fit it.
    pub fn to_scaled(&self) -> Option<(i128, u16)> {
        let scale = u16::try_from(self.scale).ok()?;
        if self.is_zero() {
            return (self.scale <= SCALED_DIGITS_MAX).then_some((0, scale));
        }
        if (self.weight + 1) * 4 + self.scale > SCALED_DIGITS_MAX {
            return None;
        }
        // The last digit may reach beyond the decimal place that the mantissa ends at.
        let (last, others) = self.digits.split_last()?;
        let place = (others.len() as i32 - self.weight) * 4;
        let cut = (place - self.scale).max(0) as u32;
        if cut > 3 {
            return None;
        }
        let head = others.iter().fold(0_i128, |value, digit| value * 10_000 + i128::from(*digit));
        let mut mantissa = head * 10_i128.pow(4 - cut) + i128::from(*last / 10_u16.pow(cut));
        mantissa *= 10_i128.pow((self.scale - place).max(0) as u32);
        Some((if self.negative { -mantissa } else { mantissa }, scale))
    }

    pub fn is_zero(&self) -> bool {
        self.digits.is_empty()
    }

    pub fn normalize(&mut self) {
        let zeros = self.digits.iter().take_while(|digit| **digit == 0).count();
        self.digits.drain(..zeros);
        self.weight -= zeros as i32;
        while self.digits.last() == Some(&0) {
            self.digits.pop();
        }
        if self.digits.is_empty() {
            self.weight = 0;
            self.negative = false;
        }
    }

    /// The digit that counts `10000^weight`.
    fn at(&self, weight: i32) -> u16 {
        usize::try_from(self.weight - weight).ok().and_then(|at| self.digits.get(at)).copied().unwrap_or(0)
    }

    /// The weight of the last digit.
    fn last_weight(&self) -> i32 {
        self.weight - self.digits.len() as i32 + 1
    }

    pub fn negated(mut self) -> Digits {
        self.negative = !self.negative && !self.is_zero();
        self
    }

    pub fn abs(mut self) -> Digits {
        self.negative = false;
        self
    }

    pub fn with_scale(mut self, scale: i32) -> Digits {
        self.scale = scale;
        self
    }

    pub fn cmp_abs(&self, other: &Digits) -> Ordering {
        match (self.is_zero(), other.is_zero()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            (false, false) => self.weight.cmp(&other.weight).then_with(|| self.digits.cmp(&other.digits)),
        }
    }

    pub fn cmp_value(&self, other: &Digits) -> Ordering {
        match (self.negative, other.negative) {
            (false, false) => self.cmp_abs(other),
            (true, true) => other.cmp_abs(self),
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
        }
    }

    /// The sum, with the larger of the scales.
    pub fn add(&self, other: &Digits) -> Digits {
        let mut sum = if self.negative == other.negative {
            Digits { negative: self.negative, ..self.add_abs(other) }
        } else if self.cmp_abs(other) == Ordering::Less {
            Digits { negative: other.negative, ..other.sub_abs(self) }
        } else {
            Digits { negative: self.negative, ..self.sub_abs(other) }
        };
        sum.scale = self.scale.max(other.scale);
        sum.normalize();
        sum
    }

    pub fn sub(&self, other: &Digits) -> Digits {
        self.add(&other.clone().negated())
    }

    fn add_abs(&self, other: &Digits) -> Digits {
        let first = self.weight.max(other.weight) + 1;
        let last = self.last_weight().min(other.last_weight());
        let mut digits = vec![0; (first - last + 1).max(0) as usize];
        let mut carry = 0;
        for (weight, out) in (last..=first).zip(digits.iter_mut().rev()) {
            let sum = self.at(weight) + other.at(weight) + carry;
            carry = u16::from(sum >= 10_000);
            *out = sum - carry * 10_000;
        }
        Digits { negative: false, weight: first, scale: 0, digits }
    }

    /// `self` must not be the smaller one.
    fn sub_abs(&self, other: &Digits) -> Digits {
        let first = self.weight.max(other.weight);
        let last = self.last_weight().min(other.last_weight());
        let mut digits = vec![0; (first - last + 1).max(0) as usize];
        let mut borrow = 0;
        for (weight, out) in (last..=first).zip(digits.iter_mut().rev()) {
            let (have, take) = (self.at(weight), other.at(weight) + borrow);
            borrow = u16::from(have < take);
            *out = have + borrow * 10_000 - take;
        }
        Digits { negative: false, weight: first, scale: 0, digits }
    }

    /// The exact product, with the sum of the scales.
    pub fn mul(&self, other: &Digits) -> Digits {
        if self.is_zero() || other.is_zero() {
            return Digits::zero(self.scale + other.scale);
        }
        let mut sums = vec![0_u64; self.digits.len() + other.digits.len()];
        // Carries are spread before the sums can overflow: each product is below 10^8.
        for (i, a) in self.digits.iter().enumerate() {
            for (j, b) in other.digits.iter().enumerate() {
                sums[i + j + 1] += u64::from(*a) * u64::from(*b);
            }
        }
        let mut carry = 0;
        let mut digits = vec![0; sums.len()];
        for (sum, out) in sums.iter().zip(digits.iter_mut()).rev() {
            let value = sum + carry;
            *out = (value % 10_000) as u16;
            carry = value / 10_000;
        }
        let mut product = Digits {
            negative: self.negative != other.negative,
            weight: self.weight + other.weight + 1,
            scale: self.scale + other.scale,
            digits,
        };
        product.normalize();
        product
    }

    /// The quotient to `scale` decimal digits, rounded half away from zero or cut. The divisor is not zero.
    pub fn div(&self, other: &Digits, scale: i32, round: bool) -> Digits {
        assert!(!other.is_zero(), "the caller has reported a division by zero");
        if self.is_zero() {
            return Digits::zero(scale);
        }
        // As many base-10000 digits behind the point as `scale` needs, and one to round by.
        let weight = self.weight - other.weight;
        let wanted = weight + 1 + (scale + 3).div_euclid(4) + 1;
        if wanted <= 0 {
            return Digits::zero(scale);
        }
        let quotient = long_division(&self.digits, &other.digits, wanted as usize);
        let mut result = Digits { negative: self.negative != other.negative, weight, scale, digits: quotient };
        result.normalize();
        if round {
            result.round(scale)
        } else {
            result.truncate(scale)
        }
        result
    }

    /// Rounds half away from zero to `scale` decimal digits (which may be negative: tens, hundreds).
    pub fn round(&mut self, scale: i32) {
        if self.cut(scale, true) {
            self.normalize();
        }
        self.scale = scale.max(0);
    }

    pub fn truncate(&mut self, scale: i32) {
        if self.cut(scale, false) {
            self.normalize();
        }
        self.scale = scale.max(0);
    }

    /// Drops what lies behind the decimal place `scale`; true if anything changed.
    fn cut(&mut self, scale: i32, round: bool) -> bool {
        // Decimal digits that are kept, counted from the first base-10000 digit.
        let kept = (self.weight + 1) * 4 + scale;
        if kept >= self.digits.len() as i32 * 4 {
            return false;
        }
        if kept < 0 {
            self.digits.clear();
            return true;
        }
        let (whole, part) = ((kept / 4) as usize, kept % 4);
        let unit = 10_u16.pow(4 - part as u32);
        let (digit, up) = match part {
            0 => (None, self.digits[whole] >= 5000),
            _ => (Some(self.digits[whole] / unit * unit), self.digits[whole] % unit >= unit / 2),
        };
        self.digits.truncate(whole);
        self.digits.extend(digit);
        if round && up {
            self.add_ulp(if part == 0 { 1 } else { unit });
        }
        true
    }

    /// Adds `unit` to the last digit.
    fn add_ulp(&mut self, unit: u16) {
        let mut carry = unit;
        for digit in self.digits.iter_mut().rev() {
            let sum = *digit + carry;
            if sum < 10_000 {
                *digit = sum;
                return;
            }
            *digit = sum - 10_000;
            carry = 1;
        }
        self.digits.insert(0, 1);
        self.weight += 1;
    }

    /// Whether there is nothing behind the point.
    pub fn is_integer(&self) -> bool {
        self.digits.len() as i32 <= self.weight + 1
    }

    /// The nearest double; infinite where there is none.
    pub fn to_f64(&self) -> f64 {
        let mut text = String::with_capacity(self.digits.len() * 4 + 16);
        if self.negative {
            text.push('-');
        }
        text.push('0');
        for digit in &self.digits {
            text.push_str(&format!("{digit:04}"));
        }
        let exponent = (self.weight + 1 - self.digits.len() as i32) * 4;
        text.push_str(&format!("e{exponent}"));
        text.parse().unwrap_or(f64::NAN)
    }
}

/// `count` base-10000 digits of `a / b`, both read as `0.d₀d₁…`; the first has the weight of the difference
/// of the weights. Knuth's algorithm D, with the divisor scaled so that its first digit is large.
fn long_division(a: &[u16], b: &[u16], count: usize) -> Vec<u16> {
    if let [divisor] = b {
        return short_division(a, u32::from(*divisor), count);
    }
    let factor = BASE / (u32::from(b[0]) + 1);
    let scale = |digits: &[u16], len: usize| {
        // One place in front for the carry.
        let mut out = vec![0_i64; len + 1];
        let mut carry = 0;
        for at in (0..len).rev() {
            let value = u32::from(digits.get(at).copied().unwrap_or(0)) * factor + carry;
            out[at + 1] = i64::from(value % BASE);
            carry = value / BASE;
        }
        out[0] = i64::from(carry);
        out
    };
    let mut rest = scale(a, count + b.len());
    let divisor = scale(b, b.len()).split_off(1);
    let base = i64::from(BASE);
    let mut quotient = Vec::with_capacity(count);
    for at in 0..count {
        let head = rest[at] * base + rest[at + 1];
        let mut guess = (head / divisor[0]).min(base - 1);
        while guess * divisor[1] > (head - guess * divisor[0]) * base + rest[at + 2] {
            guess -= 1;
        }
        let mut borrow = 0;
        for (place, digit) in divisor.iter().enumerate().rev() {
            let value = rest[at + 1 + place] - guess * digit - borrow;
            rest[at + 1 + place] = value.rem_euclid(base);
            borrow = -value.div_euclid(base);
        }
        rest[at] -= borrow;
        if rest[at] < 0 {
            guess -= 1;
            let mut carry = 0;
            for (place, digit) in divisor.iter().enumerate().rev() {
                let value = rest[at + 1 + place] + digit + carry;
                rest[at + 1 + place] = value % base;
                carry = value / base;
            }
            rest[at] += carry;
        }
        debug_assert_eq!(rest[at], 0, "the remainder is smaller than the divisor");
        quotient.push(guess as u16);
    }
    quotient
}

fn short_division(a: &[u16], divisor: u32, count: usize) -> Vec<u16> {
    let mut rest = 0;
    let digit = |at| {
        rest = rest * BASE + u32::from(a.get(at).copied().unwrap_or(0));
        let quotient = rest / divisor;
        rest %= divisor;
        quotient as u16
    };
    (0..count).map(digit).collect()
}
