// Reads test vectors, computes y, dx, dw and db by plain loops, and compares with ===. Needs no packages.
//
//   node read_vectors.mjs vectors/*.bin vectors/plain.json
//
// Exit code: 0 all right, 1 a number differs, 2 a file cannot be read.

import { readFileSync } from "node:fs";

const PARAMETERS = ["stride", "padding", "dilation", "groups", "mode"];
const RESULTS = ["y", "dx", "dw", "db"];
const DTYPES = {
  F32: [4, (view, at) => view.getFloat32(at, true)],
  F64: [8, (view, at) => view.getFloat64(at, true)],
};

/** Arrays {shape, data} and parameters of a file, by their names. */
function read(path) {
  const content = readFileSync(path);
  const members = path.endsWith(".json") ? JSON.parse(content) : readBin(content);
  for (const name of ["x", "w", "dy", "b", ...RESULTS, ...PARAMETERS])
    if (members[name] === undefined) throw new Error(`${name} is missing`);
  return members;
}

/** A .bin file: the length of a header in 8 bytes, the header as JSON, then the numbers; all little-endian. */
function readBin(content) {
  const view = new DataView(content.buffer, content.byteOffset, content.byteLength);
  const start = 8 + Number(view.getBigUint64(0, true));
  const { __metadata__: parameters, ...entries } = JSON.parse(content.toString("utf8", 8, start));
  const members = {};
  for (const name of PARAMETERS) members[name] = JSON.parse(parameters[name]);
  for (const [name, { dtype, shape, data_offsets: [begin, end] }] of Object.entries(entries)) {
    const [width, numberAt] = DTYPES[dtype];
    const data = Array.from({ length: (end - begin) / width }, (_, i) => numberAt(view, start + begin + i * width));
    members[name] = { shape, data };
  }
  return members;
}

/** A layer of one or two dimensions is one of three, whose leading entries are 1 (of padding: 0). */
const as3d = (values, missing = 1) => [...Array(3 - values.length).fill(missing), ...values];
const extents = ({ shape: [outer, inner, ...space] }) => [outer, inner, ...as3d(space)];

/** Where an element stands in row-major order. */
const at = ([, B, C, D, E], a, b, c, d, e) => (((a * B + b) * C + c) * D + d) * E + e;

function gradients({ x, w, dy, b, ...parameters }) {
  const [X, W, Y] = [x, w, dy].map(extents);
  const stride = as3d(parameters.stride);
  const dilation = as3d(parameters.dilation);
  const before = as3d(parameters.padding.map((pair) => pair[0]), 0);
  const flip = parameters.mode === "convolution";
  const filters = W[0] / parameters.groups; // of a group
  const [y, dx, dw, db] = [dy, x, w, b].map(({ data }) => new Float64Array(data.length));

  for (let n = 0; n < Y[0]; n++)
  for (let f = 0; f < Y[1]; f++)
  for (let h = 0; h < Y[2]; h++)
  for (let i = 0; i < Y[3]; i++)
  for (let j = 0; j < Y[4]; j++) {
    const out = at(Y, n, f, h, i, j);
    y[out] += b.data[f];
    db[f] += dy.data[out];

    for (let c = 0; c < W[1]; c++)
    for (let m = 0; m < W[2]; m++)
    for (let k = 0; k < W[3]; k++)
    for (let l = 0; l < W[4]; l++) {
      const q = h * stride[0] + m * dilation[0] - before[0];
      const r = i * stride[1] + k * dilation[1] - before[1];
      const s = j * stride[2] + l * dilation[2] - before[2];
      if (q < 0 || q >= X[2] || r < 0 || r >= X[3] || s < 0 || s >= X[4]) continue; // in the padding

      const into = at(X, n, Math.floor(f / filters) * W[1] + c, q, r, s);
      const tap = flip ? at(W, f, c, W[2] - 1 - m, W[3] - 1 - k, W[4] - 1 - l) : at(W, f, c, m, k, l);
      y[out] += x.data[into] * w.data[tap];
      dx[into] += dy.data[out] * w.data[tap];
      dw[tap] += dy.data[out] * x.data[into];
    }
  }
  return { y, dx, dw, db };
}

function compare(title, got, expected) {
  const wrong = got.length === expected.length ? [...got.keys()].filter((i) => got[i] !== expected[i]) : null;
  if (wrong === null) console.log(`WRONG ${title}: ${got.length} numbers, expected ${expected.length}`);
  else if (wrong.length === 0) console.log(`ok    ${title}: ${got.length} numbers`);
  else {
    const [first] = wrong;
    const values = `number ${first} is ${got[first]}, expected ${expected[first]}`;
    console.log(`WRONG ${title}: ${wrong.length} of ${got.length} differ; ${values}`);
  }
  return wrong !== null && wrong.length === 0;
}

function main(paths) {
  if (paths.length === 0) {
    console.error("usage: node read_vectors.mjs FILE...");
    return 2;
  }
  let right = true;
  for (const path of paths) {
    let members, results;
    try {
      members = read(path);
      results = gradients(members);
    } catch (error) {
      console.error(`${path}: ${error.message}`);
      return 2;
    }
    for (const name of RESULTS) right = compare(`${path} ${name}`, results[name], members[name].data) && right;
  }
  return right ? 0 : 1;
}

process.exitCode = main(process.argv.slice(2));
