/** Draws a short history: a row for each process, a bar for each operation from its call to its end, in the order of events. */
import { describe, type Operation } from '../checkers/operation.ts';
import type { Evidence } from '../checkers/verdict.ts';
import { escapeHtml, px } from './html.ts';

/** More cannot be looked at; then the last ones are drawn. */
const DRAWN_MAX = 40;
const ROW_HEIGHT = 38;
const BAR_HEIGHT = 24;
const TOP = 12;
const GAP = 26;
/** Of the font in which labels are set, at 12 px. */
const CHARACTER = 7.3;
const PADDING = 10;

export function drawTimeline(evidence: Evidence): string {
  const operations = evidence.operations.slice(-DRAWN_MAX);
  const processes = [...new Set(operations.map(({ process }) => process))];
  const left = 24 + CHARACTER * Math.max(4, ...processes.map((process) => String(process).length));
  const { start, end, width } = placed(operations, left);
  const height = TOP * 2 + processes.length * ROW_HEIGHT;
  const parts: string[] = [];
  for (const [row, process] of processes.entries()) {
    const middle = TOP + row * ROW_HEIGHT + ROW_HEIGHT / 2;
    parts.push(`<line class="axis" x1="${px(left)}" x2="${px(width - 12)}" y1="${px(middle)}" y2="${px(middle)}"/>`);
    parts.push(`<text class="mono" x="12" y="${px(middle + 4)}">${escapeHtml(process)}</text>`);
  }
  for (const operation of operations) {
    const y = TOP + processes.indexOf(operation.process) * ROW_HEIGHT + (ROW_HEIGHT - BAR_HEIGHT) / 2;
    const x = start.get(operation) ?? left;
    const barWidth = (end.get(operation) ?? width - 12) - x;
    const kind = evidence.stuck.includes(operation.index) ? 'stuck' : operation.outcome;
    const title = `${operation.process}: ${labelOf(operation)}, index ${operation.index} to ${operation.endIndex ?? 'never'}`;
    parts.push(
      `<g class="op ${kind}"><title>${escapeHtml(title)}</title>` +
        `<rect x="${px(x)}" y="${px(y)}" width="${px(barWidth)}" height="${BAR_HEIGHT}" rx="4"/>` +
        `<text class="mono" x="${px(x + PADDING)}" y="${px(y + 16)}">${escapeHtml(labelOf(operation))}</text></g>`,
    );
  }
  const cut = evidence.operations.length - operations.length;
  const note = cut > 0 ? `<p class="note">The last ${DRAWN_MAX} of ${evidence.operations.length} operations.</p>` : '';
  const size = `width="${px(width)}" height="${height}" viewBox="0 0 ${px(width)} ${height}"`;
  return `${note}<div class="scroll"><svg class="timeline" ${size} role="img" aria-label="${escapeHtml(evidence.title)}">${parts.join('\n')}</svg></div>`;
}

function labelOf(operation: Operation): string {
  return describe(operation);
}

/** Events one after the other, each end so far from its call that the label fits. Without an end a bar goes on to the right edge. */
function placed(
  operations: readonly Operation[],
  left: number,
): { readonly start: Map<Operation, number>; readonly end: Map<Operation, number>; readonly width: number } {
  const events = operations
    .flatMap((operation) => [
      { operation, at: operation.index, isEnd: false },
      ...(operation.endIndex === null ? [] : [{ operation, at: operation.endIndex, isEnd: true }]),
    ])
    .sort((a, b) => a.at - b.at || Number(a.isEnd) - Number(b.isEnd));
  const start = new Map<Operation, number>();
  const end = new Map<Operation, number>();
  let x = left - GAP + 12;
  let right = 0;
  for (const { operation, isEnd } of events) {
    x += GAP;
    const needed = labelOf(operation).length * CHARACTER + 2 * PADDING;
    if (isEnd) {
      x = Math.max(x, (start.get(operation) ?? 0) + needed);
      end.set(operation, x);
    } else {
      start.set(operation, x);
      if (operation.endIndex === null) right = Math.max(right, x + needed);
    }
  }
  return { start, end, width: Math.max(x + GAP, right) + 24 };
}
