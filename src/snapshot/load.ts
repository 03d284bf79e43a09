/** Building a machine from an image, or from what is staged, without holding everything else up. */
import type { MachineLoader } from '../machine/api.ts';
import type { RowPosition, StoreImage } from '../store/types.ts';

/** Rows taken in one turn: some 3 ms of parsing and hashing. */
const SLICE_BYTES = 128 * 1024;

/**
 * Hands all rows to `loader`, which the caller then finishes; `yieldNow` resolves in a later turn. Rejects with `StateError` for
 * rows that are no state, and with what `read` rejects with.
 */
export async function loadImage(
  read: StoreImage['read'],
  loader: MachineLoader,
  yieldNow: () => Promise<void>,
): Promise<void> {
  let after: RowPosition | null = null;
  do {
    const { rows, next } = await read(after, SLICE_BYTES);
    loader.add(rows);
    after = next;
    await yieldNow();
  } while (after !== null);
}
