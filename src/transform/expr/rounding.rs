//! The functions that round decimals by a named rule: `div_round`, `round_half_even`, `round_half_up`.
//!
//! DataFusion's decimal `/` cuts off behind four digits more than the dividend has, and its `round` goes half away from
//! zero only. These are exact, and their results are `decimal(38, scale)`; arithmetic is in [`crate::transform::money`].

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Decimal128Type;
use arrow_array::{Array, ArrayRef, Decimal128Array};
use arrow_schema::{ArrowError, DataType, Field, FieldRef};
use datafusion_common::{DataFusionError, Result, ScalarValue, plan_err};
use datafusion_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};

use crate::transform::money::{Division, MOST_DIGITS, NoQuotient, Rounding};

/// The functions of this file.
pub(super) fn functions() -> [Arc<ScalarUDF>; 3] {
    [Name::DivRound, Name::RoundHalfEven, Name::RoundHalfUp]
        .map(|name| Arc::new(ScalarUDF::new_from_impl(Round::new(name))))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Name {
    DivRound,
    RoundHalfEven,
    RoundHalfUp,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Round {
    name: Name,
    signature: Signature,
}

impl Round {
    fn new(name: Name) -> Self {
        Self {
            name,
            signature: Signature::user_defined(Volatility::Immutable),
        }
    }

    /// Position of the scale among the arguments.
    fn scale_place(&self) -> usize {
        match self.name {
            Name::DivRound => 2,
            Name::RoundHalfEven | Name::RoundHalfUp => 1,
        }
    }

    fn form(&self) -> &'static str {
        match self.name {
            Name::DivRound => "div_round(a, b, scale, 'half_even' or 'half_up')",
            Name::RoundHalfEven => "round_half_even(x, scale)",
            Name::RoundHalfUp => "round_half_up(x, scale)",
        }
    }

    fn rounding(&self, mode: Option<&ScalarValue>) -> Result<Rounding> {
        match self.name {
            Name::RoundHalfEven => Ok(Rounding::HalfEven),
            Name::RoundHalfUp => Ok(Rounding::HalfUp),
            Name::DivRound => match mode.and_then(|mode| mode.try_as_str().flatten()) {
                Some("half_even") => Ok(Rounding::HalfEven),
                Some("half_up") => Ok(Rounding::HalfUp),
                _ => plan_err!("the rule of div_round has to be the text 'half_even' or 'half_up'"),
            },
        }
    }
}

impl ScalarUDFImpl for Round {
    fn name(&self) -> &str {
        match self.name {
            Name::DivRound => "div_round",
            Name::RoundHalfEven => "round_half_even",
            Name::RoundHalfUp => "round_half_up",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let scale = self.scale_place();
        let count = if self.name == Name::DivRound { 4 } else { 2 };
        if types.len() != count {
            return plan_err!("{} takes {count} arguments: {}", self.name(), self.form());
        }
        let coerce = |(place, found): (usize, &DataType)| match found {
            _ if place == scale => Ok(DataType::Int64),
            _ if place > scale => Ok(DataType::Utf8),
            DataType::Decimal128(..) => Ok(found.clone()),
            DataType::Decimal32(precision, scale) | DataType::Decimal64(precision, scale) => {
                Ok(DataType::Decimal128(*precision, *scale))
            }
            found if found.is_integer() || found == &DataType::Null => {
                Ok(DataType::Decimal128(20, 0))
            }
            found => plan_err!(
                "{} takes decimals and integers, not {found}; cast it to a decimal",
                self.name()
            ),
        };
        types.iter().enumerate().map(coerce).collect()
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        plan_err!("the type of {} depends on its scale", self.name())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let constant = |place: usize| args.scalar_arguments.get(place).copied().flatten();
        self.rounding(constant(self.scale_place() + 1))?;
        let scale = match constant(self.scale_place()) {
            Some(ScalarValue::Int64(Some(scale))) => i8::try_from(*scale).ok(),
            _ => None,
        };
        match scale {
            Some(scale) if (0..=38).contains(&scale) => Ok(Arc::new(Field::new(
                self.name(),
                DataType::Decimal128(MOST_DIGITS, scale),
                true,
            ))),
            _ => plan_err!(
                "the scale of {} has to be a whole number from 0 to 38",
                self.name()
            ),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let mode = match args.args.get(self.scale_place() + 1) {
            Some(ColumnarValue::Scalar(mode)) => Some(mode),
            _ => None,
        };
        let rounding = self.rounding(mode)?;
        let DataType::Decimal128(_, scale) = *args.return_type() else {
            return plan_err!("{} gives decimals", self.name());
        };
        let rows = args.number_rows;
        let above = args.args[0].to_array(rows)?;
        let below = if self.name == Name::DivRound {
            args.args[1].to_array(rows)?
        } else {
            one(rows)
        };
        let array = quotients(&above, &below, scale, rounding)?;
        if args
            .args
            .iter()
            .all(|argument| matches!(argument, ColumnarValue::Scalar(_)))
            && !array.is_empty()
        {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(
                &array, 0,
            )?));
        }
        Ok(ColumnarValue::Array(array))
    }
}

fn one(rows: usize) -> ArrayRef {
    Arc::new(
        Decimal128Array::from_value(1, rows)
            .with_precision_and_scale(1, 0)
            .expect("1 is a decimal(1,0)"),
    )
}

fn quotients(
    above: &ArrayRef,
    below: &ArrayRef,
    scale: i8,
    rounding: Rounding,
) -> Result<ArrayRef> {
    let (above, below) = (
        above.as_primitive::<Decimal128Type>(),
        below.as_primitive::<Decimal128Type>(),
    );
    let shift = i32::from(below.scale()) + i32::from(scale) - i32::from(above.scale());
    let division = Division::new(shift, rounding);
    let mut quotients = Vec::with_capacity(above.len());
    for (a, b) in above.iter().zip(below.iter()) {
        quotients.push(match (a, b) {
            (Some(a), Some(b)) => Some(division.divide(a, b).map_err(error)?),
            _ => None,
        });
    }
    Ok(Arc::new(
        Decimal128Array::from(quotients).with_precision_and_scale(MOST_DIGITS, scale)?,
    ))
}

fn error(reason: NoQuotient) -> DataFusionError {
    let arrow = match reason {
        NoQuotient::DivisionByZero => ArrowError::DivideByZero,
        NoQuotient::Overflow => {
            ArrowError::ArithmeticOverflow("the quotient has more than 38 digits".to_owned())
        }
    };
    DataFusionError::ArrowError(Box::new(arrow), None)
}
