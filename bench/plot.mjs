// A chart as SVG: the same chart gives the same bytes. Bars lie, so that the words beside them have room.
import { scaleBand, scaleLinear, scaleLog, scalePoint } from 'd3-scale';
import { element, escapeXml, flow, textElement, textWidth, wrapText } from './svg.mjs';

/** @typedef {import('./suite.mjs').Chart} Chart */
/** @typedef {import('./suite.mjs').Point} Point */
/** @typedef {{ left: number, right: number, top: number, bottom: number }} Area */
/** @typedef {{ place: (value: number) => number, ticks: number[], least: number }} Axis */

const kWidth = 800;
const kLinesHeight = 320;
const kMargin = 18;
const kTitleSize = 16;
const kTextSize = 12;
const kLineHeight = 15;
const kBarHeight = 14;
const kGroupGap = 14;
const kValueRoom = 58;
const kCap = 4;
/** Told apart without colour vision and on light and dark ground; ours comes first. */
const kColours = ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#b58900', '#7a7f87', '#56b4e9', '#8c564b'];
// The ground is painted, so the words are readable whichever of the two a page has.
const kStyle =
  'text{font-family:system-ui,-apple-system,"Segoe UI",Helvetica,Arial,sans-serif;font-size:12px;fill:#1f2328}' +
  '.title{font-size:16px;font-weight:600}.quiet{fill:#59636e}.ground{fill:#ffffff;stroke:#d1d9e0}' +
  '.grid{stroke:#d1d9e0;stroke-width:1}.axis{stroke:#59636e;stroke-width:1}.whisker{stroke:#1f2328;stroke-width:1.2}.spread{stroke-width:1.4}' +
  '@media (prefers-color-scheme:dark){text{fill:#f0f6fc}.quiet{fill:#9198a1}.ground{fill:#0d1117;stroke:#3d444d}' +
  '.grid{stroke:#3d444d}.axis{stroke:#9198a1}.whisker{stroke:#f0f6fc}}';

/** @param {number} index */
const colourOf = (index) => kColours[index % kColours.length];

/** 1500 as 1.5k: ticks and values of any size stay short. @param {number} value */
export function compact(value) {
  const size = Math.abs(value);
  const [unit, letter] = size >= 1e9 ? [1e9, 'G'] : size >= 1e6 ? [1e6, 'M'] : size >= 1000 ? [1000, 'k'] : [1, ''];
  return `${Number((value / unit).toPrecision(3))}${letter}`;
}

/** Those with a place on the axis. @param {Chart} chart @param {Point} point */
const hasValue = ({ logY }, { y }) => Number.isFinite(y) && (logY !== true || y > 0);

/** 1, 2, 5, 10, 20, ... @param {number} index */
const preferred = (index) => Number(`${[1, 2, 5][((index % 3) + 3) % 3]}e${Math.floor(index / 3)}`);

/** Place among the preferred numbers of the last one that is not above the value. @param {number} value */
function preferredBelow(value) {
  let index = 3 * Math.floor(Math.log10(value)) - 1;
  while (preferred(index + 1) <= value) index += 1;
  return index;
}

/**
 * Powers of ten, and 2 and 5 times them where there are few.
 * @param {number} first place among the preferred numbers
 * @param {number} last
 */
function logTicks(first, last) {
  const all = Array.from({ length: last - first + 1 }, (_, index) => first + index);
  if (all.length <= 8) return all.map(preferred);
  const powers = all.filter((index) => index % 3 === 0);
  const step = Math.ceil(powers.length / 9);
  return powers.filter((_, index) => index % step === 0).map(preferred);
}

/**
 * @param {number[]} values
 * @param {{ log: boolean, fromZero: boolean, range: [number, number] }} options
 * @returns {Axis}
 */
function numberAxis(values, { log, fromZero, range }) {
  const usable = values.filter((value) => Number.isFinite(value) && (!log || value > 0));
  let least = Math.min(...usable);
  let most = Math.max(...usable);
  if (usable.length === 0) [least, most] = log ? [1, 10] : [0, 1];
  if (log) {
    let first = preferredBelow(least);
    let last = preferredBelow(most);
    if (preferred(last) < most) last += 1;
    // The least bar would have no length, and a single point would stand on the edge.
    if (fromZero && preferred(first) === least) first -= 1;
    if (first === last) [first, last] = [first - 3, last + 3];
    const scale = scaleLog([preferred(first), preferred(last)], range);
    return { place: (value) => scale(Math.max(value, preferred(first))), ticks: logTicks(first, last), least: preferred(first) };
  }
  if (fromZero) [least, most] = [Math.min(0, least), Math.max(0, most)];
  if (least === most) [least, most] = fromZero ? [0, 1] : [least - 1, most + 1];
  const scale = scaleLinear([least, most], range);
  if (fromZero) scale.nice(6);
  return { place: (value) => scale(value), ticks: scale.ticks(6), least: scale.domain()[0] };
}

/** @param {Chart} chart */
function valuesOf({ series }) {
  return series.flatMap(({ points }) => points.flatMap(({ y, min = y, max = y }) => [y, min, max]));
}

/** What a chart's points are called along its x axis, in the order of their first appearance. @param {Chart} chart */
function categoriesOf({ series }) {
  return [...new Set(series.flatMap(({ points }) => points.map(({ x }) => String(x))))];
}

/**
 * @param {Chart} chart
 * @param {(index: number, x: number, y: number) => string} symbol
 * @returns {{ body: string[], bottom: number }}
 */
function heading({ title, series }, symbol) {
  const lines = wrapText(title, { width: kWidth - 2 * kMargin, size: kTitleSize, lines: 2 });
  const body = lines.map((line, index) =>
    textElement(line, { class: 'title', x: kMargin, y: kMargin + kTitleSize + index * (kTitleSize + 4) }),
  );
  let bottom = kMargin + lines.length * (kTitleSize + 4) + 6;
  if (series.length > 1) {
    const names = series.map(({ name }) => name);
    const places = flow(names, { width: kWidth - 2 * kMargin, size: kTextSize, gap: 34 });
    places.forEach(({ x, row }, index) => {
      const y = bottom + 12 + row * (kLineHeight + 3);
      body.push(symbol(index, kMargin + x + 7, y - 4), textElement(names[index], { x: kMargin + x + 20, y }));
    });
    bottom += 12 + places[places.length - 1].row * (kLineHeight + 3) + 6;
  }
  return { body, bottom };
}

/** @param {{ x1: number, y1: number, x2: number, y2: number, stroke?: string }} from @param {string} [kind] */
const line = (from, kind) => element('line', { class: kind, ...from });

/**
 * From the smallest to the largest, with a cap at each end.
 * @param {number} from
 * @param {number} to
 * @param {number} across
 * @param {{ lying?: boolean, stroke?: string }} options
 */
function whisker(from, to, across, { lying = false, stroke }) {
  const span = lying ? { x1: from, y1: across, x2: to, y2: across } : { x1: across, y1: from, x2: across, y2: to };
  const cap = (/** @type {number} */ at) =>
    lying
      ? { x1: at, y1: across - kCap, x2: at, y2: across + kCap }
      : { x1: across - kCap, y1: at, x2: across + kCap, y2: at };
  const look = stroke === undefined ? {} : { stroke };
  return [span, cap(from), cap(to)].map((each) => line({ ...each, ...look }, stroke === undefined ? 'whisker' : 'spread')).join('');
}

/** @param {Chart} chart */
function drawBars(chart) {
  const { series } = chart;
  const swatch = (/** @type {number} */ index, /** @type {number} */ x, /** @type {number} */ y) =>
    element('rect', { x: x - 6, y: y - 6, width: 12, height: 12, rx: 2, fill: colourOf(index) });
  const head = heading(chart, swatch);
  const categories = categoriesOf(chart);
  const labelWidth = Math.min(230, Math.max(60, ...categories.map((category) => textWidth(category, kTextSize))));
  const labels = categories.map((text) => wrapText(text, { width: labelWidth, size: kTextSize, lines: 3 }));
  const mostLines = Math.max(...labels.map(({ length }) => length));
  const groupHeight = Math.max(series.length * kBarHeight, mostLines * kLineHeight) + kGroupGap;
  /** @type {Area} */
  const area = {
    left: kMargin + labelWidth + 10,
    right: kWidth - kMargin - kValueRoom,
    top: head.bottom + kLineHeight + 8,
    bottom: head.bottom + kLineHeight + 8 + categories.length * groupHeight,
  };
  const axis = numberAxis(valuesOf(chart), { log: chart.logY === true, fromZero: true, range: [area.left, area.right] });
  const bands = scaleBand(categories, [area.top, area.bottom]);
  const zero = axis.place(chart.logY === true ? axis.least : 0);
  const body = [...head.body, textElement(chart.xLabel, { class: 'quiet', x: kMargin, y: area.top - 10 })];
  for (const tick of axis.ticks) {
    const x = axis.place(tick);
    body.push(line({ x1: x, y1: area.top, x2: x, y2: area.bottom }, 'grid'));
    body.push(textElement(compact(tick), { class: 'quiet', x, y: area.bottom + kLineHeight, 'text-anchor': 'middle' }));
  }
  const titleY = area.bottom + 2.3 * kLineHeight;
  body.push(textElement(chart.yLabel, { class: 'quiet', x: (area.left + area.right) / 2, y: titleY, 'text-anchor': 'middle' }));
  categories.forEach((category, group) => {
    const middle = (bands(category) ?? 0) + bands.bandwidth() / 2;
    labels[group].forEach((text, index) => {
      const y = middle + (index - (labels[group].length - 1) / 2) * kLineHeight + 4;
      body.push(textElement(text, { x: area.left - 10, y, 'text-anchor': 'end' }));
    });
    series.forEach(({ points }, index) => {
      const y = middle + (index - series.length / 2) * kBarHeight;
      const point = points.find(({ x }) => String(x) === category);
      body.push(...bar(chart, axis, { zero, y, fill: colourOf(index) }, point));
    });
  });
  body.push(line({ x1: zero, y1: area.top, x2: zero, y2: area.bottom }, 'axis'));
  return { body, height: titleY + kMargin };
}

/**
 * @param {Chart} chart
 * @param {Axis} axis
 * @param {{ zero: number, y: number, fill: string }} where
 * @param {Point | undefined} point
 */
function bar(chart, axis, { zero, y, fill }, point) {
  const value = { class: 'quiet', y: y + kBarHeight - 3 };
  if (point === undefined || !Number.isFinite(point.y)) return [textElement('no value', { ...value, x: zero + 5 })];
  if (!hasValue(chart, point)) return [textElement(compact(point.y), { ...value, x: zero + 5 })];
  const { y: figure, min = figure, max = figure } = point;
  const [from, to] = [Math.min(zero, axis.place(figure)), Math.max(zero, axis.place(figure))];
  const rect = element('rect', { x: from, y: y + 1, width: to - from, height: kBarHeight - 2, fill });
  const spread = max > min ? whisker(axis.place(min), axis.place(max), y + kBarHeight / 2, { lying: true }) : '';
  const right = Math.max(to, axis.place(max)) + (spread === '' ? 5 : 8);
  return [rect + spread, textElement(compact(figure), { ...value, x: right })];
}

/** A mark of its own for each series. @param {number} index @param {number} x @param {number} y */
function mark(index, x, y) {
  const fill = colourOf(index);
  const path = (/** @type {string} */ d) => element('path', { d: `M${Number(x.toFixed(2))} ${Number(y.toFixed(2))}${d}z`, fill });
  return [
    () => element('circle', { cx: x, cy: y, r: 4, fill }),
    () => element('rect', { x: x - 3.6, y: y - 3.6, width: 7.2, height: 7.2, fill }),
    () => path('m0 -5l4.6 8.4h-9.2'),
    () => path('m0 -5.2l5.2 5.2l-5.2 5.2l-5.2 -5.2'),
    () => path('m0 5l4.6 -8.4h-9.2'),
  ][index % 5]();
}

/** @param {Chart} chart */
function drawLines(chart) {
  const { series } = chart;
  const head = heading(chart, (index, x, y) =>
    element('line', { x1: x - 8, y1: y, x2: x + 8, y2: y, stroke: colourOf(index), 'stroke-width': 2 }) + mark(index, x, y),
  );
  const top = head.bottom + kLineHeight + 16;
  /** @type {Area} */
  const area = { left: kMargin + 52, right: kWidth - kMargin - 14, top, bottom: top + kLinesHeight };
  const vertical = numberAxis(valuesOf(chart), { log: chart.logY === true, fromZero: chart.logY !== true, range: [area.bottom, area.top] });
  const horizontal = horizontalAxis(chart, area);
  const body = [...head.body, textElement(chart.yLabel, { class: 'quiet', x: kMargin, y: top - 16 })];
  for (const tick of vertical.ticks) {
    const y = vertical.place(tick);
    body.push(line({ x1: area.left, y1: y, x2: area.right, y2: y }, 'grid'));
    body.push(textElement(compact(tick), { class: 'quiet', x: area.left - 8, y: y + 4, 'text-anchor': 'end' }));
  }
  for (const { x, label } of horizontal.ticks) {
    body.push(line({ x1: x, y1: area.bottom, x2: x, y2: area.bottom + 5 }, 'axis'));
    label.forEach((text, index) => {
      const y = area.bottom + 5 + (index + 1) * kLineHeight;
      body.push(textElement(text, { class: 'quiet', x, y, 'text-anchor': 'middle' }));
    });
  }
  const zero = vertical.least < 0 ? vertical.place(0) : area.bottom;
  body.push(line({ x1: area.left, y1: zero, x2: area.right, y2: zero }, 'axis'));
  const deepest = Math.max(1, ...horizontal.ticks.map(({ label }) => label.length));
  const titleY = area.bottom + 5 + (deepest + 1.4) * kLineHeight;
  body.push(textElement(chart.xLabel, { class: 'quiet', x: (area.left + area.right) / 2, y: titleY, 'text-anchor': 'middle' }));
  // Ours is drawn last, so that nothing hides it.
  for (const [index, { points }] of [...series.entries()].reverse()) {
    body.push(...oneLine(points.filter((point) => hasValue(chart, point)), index, horizontal.place, vertical.place));
  }
  return { body, height: titleY + kMargin };
}

/**
 * @param {Point[]} points
 * @param {number} index
 * @param {(x: number | string) => number | undefined} placeX
 * @param {(y: number) => number} placeY
 */
function oneLine(points, index, placeX, placeY) {
  const places = points.flatMap((point) => {
    const x = placeX(point.x);
    return x === undefined ? [] : [{ point, x, y: placeY(point.y) }];
  });
  places.sort((a, b) => a.x - b.x);
  const d = places.map(({ x, y }, at) => `${at === 0 ? 'M' : 'L'}${Number(x.toFixed(2))} ${Number(y.toFixed(2))}`).join('');
  const stroke = { fill: 'none', stroke: colourOf(index), 'stroke-width': 2, 'stroke-linejoin': 'round' };
  const spread = places.map(({ x, point: { y, min = y, max = y } }) =>
    max > min ? whisker(placeY(min), placeY(max), x, { stroke: colourOf(index) }) : '',
  );
  const marks = places.map(({ x, y }) => mark(index, x, y));
  return [...(places.length > 1 ? [element('path', { d, ...stroke })] : []), spread.join(''), marks.join('')].filter(Boolean);
}

/**
 * @param {Chart} chart
 * @param {Area} area
 * @returns {{ place: (x: number | string) => number | undefined, ticks: { x: number, label: string[] }[] }}
 */
function horizontalAxis(chart, area) {
  const all = chart.series.flatMap(({ points }) => points.map(({ x }) => x));
  const range = /** @type {[number, number]} */ ([area.left + 16, area.right - 16]);
  if (all.every((x) => typeof x === 'number')) {
    const axis = numberAxis(all, { log: chart.logX === true, fromZero: false, range });
    const place = (/** @type {number | string} */ x) =>
      typeof x !== 'number' || !Number.isFinite(x) || (chart.logX === true && x <= 0) ? undefined : axis.place(x);
    return { place, ticks: axis.ticks.map((tick) => ({ x: axis.place(tick), label: [compact(tick)] })) };
  }
  const categories = categoriesOf(chart);
  const scale = scalePoint(categories, range).padding(0.5);
  const width = Math.max(30, scale.step() - 8 || area.right - area.left);
  const label = (/** @type {string} */ text) => wrapText(text, { width, size: kTextSize, lines: 3 });
  return {
    place: (x) => scale(String(x)),
    ticks: categories.map((text) => ({ x: scale(text) ?? area.left, label: label(text) })),
  };
}

/**
 * @param {Chart} chart
 * @returns {string | undefined} nothing where there is nothing to draw
 */
export function renderChart(chart) {
  const isDrawable = chart.series.some(({ points }) => points.some(({ y }) => Number.isFinite(y)));
  if (!isDrawable) return undefined;
  const { body, height } = chart.kind === 'bars' ? drawBars(chart) : drawLines(chart);
  const size = { width: kWidth, height: Math.ceil(height) };
  const ground = element('rect', { class: 'ground', x: 0.5, y: 0.5, width: kWidth - 1, height: size.height - 1, rx: 6 });
  const content = [element('title', {}, escapeXml(chart.title)), element('style', {}, kStyle), ground, ...body];
  const root = { xmlns: 'http://www.w3.org/2000/svg', ...size, viewBox: `0 0 ${kWidth} ${size.height}`, role: 'img' };
  return `${element('svg', root, `\n${content.join('\n')}\n`)}\n`;
}
