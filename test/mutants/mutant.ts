/** What the catalogues of mutants hold. */
export interface Edit {
  readonly file: string;
  readonly find: string;
  readonly replace: string;
}

export interface Mutant extends Edit {
  /** The row of `rows.json`, with an addition where a row has several. Our own begin with `own-` or with a requirement. */
  readonly id: string;
  /** Where such a bug was seen. */
  readonly seen: string;
  /** Oracles that may notice it, separated by commas. */
  readonly oracle: string;
  /** What has to change with it, so that the named oracle is what notices (usually the product's own checks). */
  readonly also?: readonly Edit[];
  /** What the simulator's runs are about. */
  readonly focus?: string;
  /** The scope of the model that finds it. */
  readonly model?: string;
  /** Tests outside of the simulator that find it, separated by commas. */
  readonly test?: string;
}

/** A row of the catalogue of known bugs that has no mutant. */
export interface NotApplicable {
  readonly row: string;
  readonly reason: string;
}
