/** Puts bars with labels into as few rows as hold them without overlap. */

export interface Bar {
  readonly from: number;
  readonly to: number;
}

/** Row of each bar, in the order given; bars have to come in the order of `from`. A row takes the next bar `gap` after its last one. */
export function lanesOf(bars: readonly Bar[], gap: number): readonly number[] {
  const ends: number[] = [];
  return bars.map(({ from, to }) => {
    const free = ends.findIndex((end) => end + gap <= from);
    const lane = free < 0 ? ends.length : free;
    ends[lane] = to;
    return lane;
  });
}
