/**
 * What disks do to files that nobody touches: bits flip, files vanish, sectors end up in another place, ends are cut
 * off. Only bytes that the log can know were durable are hit: what a power cut could have left unwritten as well cannot be
 * told from that (src/wal/FORMAT.md, "Torn tail or damage").
 */
import type { Prng } from '../kernel/prng.ts';
import { type Proof, proofs } from '../wal/segment-reader.ts';
import type { SimDisk } from './disk.ts';
import { type Inode, SECTOR_BYTES } from './inode.ts';

export type DamageKind = 'bitFlip' | 'zeroedSector' | 'lostFile' | 'misdirectedWrite' | 'shortFile';

export const DAMAGE_KINDS: readonly DamageKind[] = [
  'bitFlip',
  'zeroedSector',
  'lostFile',
  'misdirectedWrite',
  'shortFile',
];

interface Target {
  readonly path: string;
  readonly file: Inode;
  readonly proof: Proof;
}

/** Damages one file of the folders in `prefixes`; null when there is nothing to damage yet. The process must be dead. */
export function damageDisk(disk: SimDisk, prng: Prng, kind: DamageKind): { readonly path: string } | null {
  const targets = targetsOf(disk);
  const target = targets.length === 0 ? null : prng.pick(targets);
  if (target === null) return null;
  const { file, path, proof } = target;
  const isLast = proof.at < file.durableBytes().length;
  const offset = prng.below(proof.bytes);
  const sector = Math.floor(offset / SECTOR_BYTES) * SECTOR_BYTES;
  // What vouches for the sector is not in it.
  const sectorIsProven = sector + SECTOR_BYTES <= proof.at;
  switch (kind) {
    case 'bitFlip':
      file.rot(offset, 1 << prng.below(8));
      break;
    case 'zeroedSector':
      if (!sectorIsProven) return null;
      file.place(sector, new Uint8Array(SECTOR_BYTES));
      break;
    case 'lostFile':
      if (isLast) return null;
      disk.lose(path);
      break;
    case 'misdirectedWrite': {
      const from = prng.pick(targets);
      const source = Math.floor(prng.below(from.proof.bytes) / SECTOR_BYTES) * SECTOR_BYTES;
      if (!sectorIsProven || (from === target && source === sector)) return null;
      file.place(sector, from.file.durableBytes().slice(source, source + SECTOR_BYTES));
      break;
    }
    case 'shortFile':
      if (isLast) return null;
      file.cutShort(offset);
      break;
  }
  return { path };
}

function targetsOf(disk: SimDisk): readonly Target[] {
  const files = disk.durableFiles();
  const known = proofs(files.filter(([path]) => path.startsWith('wal/')));
  const targets: Target[] = [];
  for (const [path, file] of files) {
    const proof = known.get(path);
    if (proof !== undefined) targets.push({ path, file, proof });
  }
  return targets;
}
