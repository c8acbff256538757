// Reads test vectors, computes y, dx, dw and db by plain loops, and compares with ==. Needs no crates.
//
//   rustc --edition 2021 -O read_vectors.rs
//   ./read_vectors vectors/*.bin
//
// Exit code: 0 all right, 1 a number differs, 2 a file cannot be read.

use std::collections::BTreeMap;
use std::process::ExitCode;

type Result<T> = std::result::Result<T, String>;

struct Array {
    shape: Vec<usize>,
    data: Vec<f64>, // row-major; an f64 holds every f32
}

struct File {
    arrays: BTreeMap<String, Array>,
    parameters: BTreeMap<String, Json>,
}

impl File {
    /// 8 bytes, the length of a header, little-endian; the header, JSON; then raw numbers, little-endian.
    fn parse(content: &[u8]) -> Result<File> {
        let length = content.first_chunk().ok_or("it is shorter than 8 bytes")?;
        let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|e| e.to_string())?;
        let (header, numbers) = content[8..].split_at_checked(length).ok_or("the header is longer than the file")?;
        let header = std::str::from_utf8(header).map_err(|e| e.to_string())?;
        let mut file = File { arrays: BTreeMap::new(), parameters: BTreeMap::new() };
        for (name, entry) in Json::parse(header)?.members()? {
            if name != "__metadata__" {
                file.arrays.insert(name.clone(), Array::parse(entry, numbers)?);
                continue;
            }
            for key in ["stride", "padding", "dilation", "groups", "mode"] {
                file.parameters.insert(key.into(), Json::parse(entry.at(key)?.text()?)?);
            }
        }
        Ok(file)
    }

    fn array(&self, name: &str) -> Result<&Array> {
        self.arrays.get(name).ok_or_else(|| format!("array {name} is missing"))
    }

    fn parameter(&self, name: &str) -> Result<&Json> {
        self.parameters.get(name).ok_or_else(|| format!("parameter {name} is missing"))
    }
}

impl Array {
    fn parse(entry: &Json, numbers: &[u8]) -> Result<Array> {
        let shape = entry.at("shape")?.integers()?;
        let (begin, end) = match entry.at("data_offsets")?.integers()?[..] {
            [begin, end] => (begin, end),
            _ => return Err("data_offsets are not two numbers".into()),
        };
        let bytes = numbers.get(begin..end).ok_or("data_offsets lie outside of the file")?;
        let data: Vec<f64> = match entry.at("dtype")?.text()? {
            "F32" => bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap()).into()).collect(),
            "F64" => bytes.chunks_exact(8).map(|b| f64::from_le_bytes(b.try_into().unwrap())).collect(),
            dtype => return Err(format!("dtype {dtype} is not F32 or F64")),
        };
        let size = shape.iter().try_fold(1usize, |size, &extent| size.checked_mul(extent));
        if size != Some(data.len()) {
            return Err("shape and data_offsets disagree".into());
        }
        Ok(Array { shape, data })
    }

    /// (n, f, h, i, j): a layer of one or two dimensions is one of three, whose leading extents are 1.
    fn extents(&self) -> Result<[usize; 5]> {
        match self.shape[..] {
            [a, b, e] => Ok([a, b, 1, 1, e]),
            [a, b, d, e] => Ok([a, b, 1, d, e]),
            [a, b, c, d, e] => Ok([a, b, c, d, e]),
            _ => Err("expected one to three spatial axes".into()),
        }
    }
}

/// Where an element stands in row-major order.
fn at(extents: [usize; 5], index: [usize; 5]) -> usize {
    index.iter().zip(extents).fold(0, |position, (&i, extent)| position * extent + i)
}

/// One number for each of three axes; those that the layer does not have come first.
fn per_axis(values: &[usize], missing: usize) -> Result<[usize; 3]> {
    match *values {
        [c] => Ok([missing, missing, c]),
        [b, c] => Ok([missing, b, c]),
        [a, b, c] => Ok([a, b, c]),
        _ => Err("a parameter does not fit the dimensions".into()),
    }
}

fn gradients(file: &File) -> Result<[(&'static str, Vec<f64>); 4]> {
    let (x, w, dy, b) = (file.array("x")?, file.array("w")?, file.array("dy")?, file.array("b")?);
    let (xe, we, ye) = (x.extents()?, w.extents()?, dy.extents()?);
    let stride = per_axis(&file.parameter("stride")?.integers()?, 1)?;
    let dilation = per_axis(&file.parameter("dilation")?.integers()?, 1)?;
    let pairs = file.parameter("padding")?.items()?.iter().map(Json::integers).collect::<Result<Vec<_>>>()?;
    let before: Vec<usize> = pairs.iter().filter_map(|pair| pair.first().copied()).collect();
    let padding = per_axis(&before, 0)?;
    let groups = file.parameter("groups")?.integer()?;
    let flip = file.parameter("mode")?.text()? == "convolution";
    let divisible = groups > 0 && we[0] % groups == 0;
    if !divisible || xe[0] != ye[0] || xe[1] != we[1] * groups || we[0] != ye[1] || b.data.len() != we[0] {
        return Err("the shapes do not fit together".into());
    }
    let filters = we[0] / groups; // of a group

    // The input position that a tap meets; none in the padding.
    let meets = |axis: usize, output: usize, tap: usize| {
        let position = (output * stride[axis] + tap * dilation[axis]).checked_sub(padding[axis])?;
        (position < xe[axis + 2]).then_some(position)
    };
    let zeros = |array: &Array| vec![0.0; array.data.len()];
    let (mut y, mut dx, mut dw, mut db) = (zeros(dy), zeros(x), zeros(w), zeros(b));
    for [n, f, h, i, j] in indices(ye) {
        let out = at(ye, [n, f, h, i, j]);
        y[out] += b.data[f];
        db[f] += dy.data[out];
        for [_, c, m, k, l] in indices([1, we[1], we[2], we[3], we[4]]) {
            let (Some(q), Some(r), Some(s)) = (meets(0, h, m), meets(1, i, k), meets(2, j, l)) else { continue };
            let into = at(xe, [n, f / filters * we[1] + c, q, r, s]);
            let taps = if flip { [we[2] - 1 - m, we[3] - 1 - k, we[4] - 1 - l] } else { [m, k, l] };
            let tap = at(we, [f, c, taps[0], taps[1], taps[2]]);
            y[out] += x.data[into] * w.data[tap];
            dx[into] += dy.data[out] * w.data[tap];
            dw[tap] += dy.data[out] * x.data[into];
        }
    }
    Ok([("y", y), ("dx", dx), ("dw", dw), ("db", db)])
}

/// All indices of five axes, the last one running fastest.
fn indices(extents: [usize; 5]) -> impl Iterator<Item = [usize; 5]> {
    (0..extents.iter().product()).map(move |mut position: usize| {
        let mut index = [0; 5];
        for axis in (0..5).rev() {
            index[axis] = position % extents[axis];
            position /= extents[axis];
        }
        index
    })
}

fn compare(title: &str, got: &[f64], expected: &[f64]) -> bool {
    if got.len() != expected.len() {
        println!("WRONG {title}: {} numbers, expected {}", got.len(), expected.len());
        return false;
    }
    let wrong: Vec<usize> = (0..got.len()).filter(|&i| got[i] != expected[i]).collect();
    match wrong.first() {
        None => println!("ok    {title}: {} numbers", got.len()),
        Some(&i) => println!(
            "WRONG {title}: {} of {} differ; number {i} is {}, expected {}",
            wrong.len(),
            got.len(),
            got[i],
            expected[i]
        ),
    }
    wrong.is_empty()
}

fn check(path: &str) -> Result<bool> {
    let file = File::parse(&std::fs::read(path).map_err(|e| e.to_string())?)?;
    let mut right = true;
    for (name, got) in gradients(&file)? {
        right &= compare(&format!("{path} {name}"), &got, &file.array(name)?.data);
    }
    Ok(right)
}

fn main() -> ExitCode {
    let paths: Vec<String> = std::env::args().skip(1).collect();
    if paths.is_empty() {
        eprintln!("usage: read_vectors FILE.bin...");
        return ExitCode::from(2);
    }
    let mut right = true;
    for path in paths {
        match check(&path) {
            Ok(equal) => right &= equal,
            Err(error) => {
                eprintln!("{path}: {error}");
                return ExitCode::from(2);
            }
        }
    }
    ExitCode::from(if right { 0 } else { 1 })
}

/// As much of JSON as these files need: objects, arrays, strings and integers.
enum Json {
    Object(BTreeMap<String, Json>),
    Array(Vec<Json>),
    Text(String),
    Integer(usize),
}

impl Json {
    fn parse(text: &str) -> Result<Json> {
        let mut parser = Parser { rest: text };
        let value = parser.value(0)?;
        if parser.peek().is_some() {
            Err("something follows the JSON".into())
        } else {
            Ok(value)
        }
    }

    fn members(&self) -> Result<&BTreeMap<String, Json>> {
        if let Json::Object(members) = self {
            Ok(members)
        } else {
            Err("expected a JSON object".into())
        }
    }

    fn at(&self, key: &str) -> Result<&Json> {
        self.members()?.get(key).ok_or_else(|| format!("{key} is missing"))
    }

    fn items(&self) -> Result<&[Json]> {
        if let Json::Array(items) = self {
            Ok(items)
        } else {
            Err("expected a JSON array".into())
        }
    }

    fn text(&self) -> Result<&str> {
        if let Json::Text(text) = self {
            Ok(text)
        } else {
            Err("expected a JSON string".into())
        }
    }

    fn integer(&self) -> Result<usize> {
        if let Json::Integer(number) = self {
            Ok(*number)
        } else {
            Err("expected an integer".into())
        }
    }

    fn integers(&self) -> Result<Vec<usize>> {
        self.items()?.iter().map(Json::integer).collect()
    }
}

struct Parser<'a> {
    rest: &'a str,
}

impl Parser<'_> {
    const DEEPEST: usize = 8;

    fn peek(&mut self) -> Option<char> {
        self.rest = self.rest.trim_start();
        self.rest.chars().next()
    }

    fn take(&mut self, wanted: char) -> Result<()> {
        if self.peek() != Some(wanted) {
            return Err(format!(
                "expected '{wanted}' in JSON before {:?}",
                self.rest.chars().take(20).collect::<String>()
            ));
        }
        self.rest = &self.rest[wanted.len_utf8()..];
        Ok(())
    }

    fn value(&mut self, depth: usize) -> Result<Json> {
        match self.peek() {
            _ if depth > Self::DEEPEST => Err("JSON is nested too deeply".into()),
            Some('{') => {
                let mut members = BTreeMap::new();
                self.list('{', '}', |parser| {
                    let key = parser.string()?;
                    parser.take(':')?;
                    members.insert(key, parser.value(depth + 1)?);
                    Ok(())
                })?;
                Ok(Json::Object(members))
            }
            Some('[') => {
                let mut items = Vec::new();
                self.list('[', ']', |parser| {
                    items.push(parser.value(depth + 1)?);
                    Ok(())
                })?;
                Ok(Json::Array(items))
            }
            Some('"') => Ok(Json::Text(self.string()?)),
            _ => {
                let end = self.rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(self.rest.len());
                let (digits, rest) = self.rest.split_at(end);
                self.rest = rest;
                digits.parse().map(Json::Integer).map_err(|e| format!("expected an integer in JSON: {e}"))
            }
        }
    }

    fn list(&mut self, start: char, end: char, mut item: impl FnMut(&mut Self) -> Result<()>) -> Result<()> {
        self.take(start)?;
        if self.peek() != Some(end) {
            item(self)?;
            while self.peek() == Some(',') {
                self.take(',')?;
                item(self)?;
            }
        }
        self.take(end)
    }

    fn string(&mut self) -> Result<String> {
        self.take('"')?;
        let mut text = String::new();
        let mut characters = self.rest.chars();
        loop {
            match characters.next().ok_or("a JSON string has no end")? {
                '"' => break,
                '\\' => text.push(match characters.next().ok_or("a JSON string has no end")? {
                    'n' => '\n',
                    't' => '\t',
                    'u' => {
                        characters.nth(3); // only in notes for people, which no program needs
                        '?'
                    }
                    other => other,
                }),
                other => text.push(other),
            }
        }
        self.rest = characters.as_str();
        Ok(text)
    }
}
