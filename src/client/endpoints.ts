/**
 * Where members can be asked: the addresses that the caller gave, and what members say of each other.
 *
 * E1  The newest configuration that a member told counts; a member that was left behind does not bring back an old one.
 * E2  An address whose member is not in that configuration is left out. The caller's own addresses come back when nothing
 *     else is left: a client never runs out of somebody to ask.
 */

/** What one member says of the cluster. */
export interface ClusterFacts {
  readonly memberId: string;
  /** null: it does not know. */
  readonly leaderAddress: string | null;
  /** Log index of its configuration. */
  readonly configurationIndex: number;
  /** Those of its configuration. Empty where it waits to be added, or is of an older release. */
  readonly members: readonly { readonly memberId: string; readonly address: string }[];
  /** It is no member any more. */
  readonly removed: boolean;
}

export class Endpoints {
  readonly #seeds: readonly string[];
  /** Who answered at an address last. */
  readonly #memberAt = new Map<string, string>();
  #members: ClusterFacts['members'] = [];
  #configurationIndex = -1;
  #list: readonly string[];

  constructor(seeds: readonly string[]) {
    this.#seeds = [...new Set(seeds)];
    this.#list = this.#seeds;
  }

  /** Never empty. The caller's first, in the caller's order. */
  list(): readonly string[] {
    return this.#list;
  }

  /** The addresses that the caller gave. */
  seeds(): readonly string[] {
    return this.#seeds;
  }

  learn(address: string, facts: ClusterFacts): void {
    this.#memberAt.set(address, facts.memberId);
    const newer = facts.configurationIndex >= this.#configurationIndex;
    if (facts.members.length > 0 && !facts.removed && newer) {
      this.#members = facts.members;
      this.#configurationIndex = facts.configurationIndex;
    }
    this.#list = this.#current();
    for (const known of this.#memberAt.keys()) {
      if (!this.#list.includes(known) && !this.#seeds.includes(known)) this.#memberAt.delete(known);
    }
  }

  #current(): readonly string[] {
    const ids = new Set(this.#members.map((member) => member.memberId));
    const there = (address: string): boolean => {
      const id = this.#memberAt.get(address);
      return ids.size === 0 || id === undefined || ids.has(id);
    };
    const learned = this.#members.map((member) => member.address).filter((address) => address !== '');
    const list = [...new Set([...this.#seeds.filter(there), ...learned.filter(there)])];
    return list.length === 0 ? this.#seeds : list;
  }
}
