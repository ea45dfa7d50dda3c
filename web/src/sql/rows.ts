// Rows of a result as they came, decoded when they are looked at: a million of them cost their bytes and no more.

export interface Column {
  name: string;
  type: number; // OID.
  table: number; // OID of the table it is a column of, or 0.
  attribute: number;
}

export type Cell = string | null;

const decoder = new TextDecoder();

export class Rows {
  private readonly buffers: Uint8Array[] = [];
  private readonly bufferOf: number[] = [];
  private readonly offsetOf: number[] = [];

  get length(): number {
    return this.offsetOf.length;
  }

  // A DataRow's body, beginning with its number of columns, at `offset` of `buffer`.
  add(buffer: Uint8Array, offset: number): void {
    if (this.buffers[this.buffers.length - 1] !== buffer) this.buffers.push(buffer);
    this.bufferOf.push(this.buffers.length - 1);
    this.offsetOf.push(offset);
  }

  at(index: number): Cell[] {
    const buffer = this.buffers[this.bufferOf[index]];
    const view = new DataView(buffer.buffer, buffer.byteOffset, buffer.byteLength);
    let at = this.offsetOf[index];
    const cells: Cell[] = new Array(view.getInt16(at));
    at += 2;
    for (let i = 0; i < cells.length; i++) {
      const size = view.getInt32(at);
      at += 4;
      if (size < 0) cells[i] = null;
      else {
        cells[i] = decoder.decode(buffer.subarray(at, at + size));
        at += size;
      }
    }
    return cells;
  }

  all(): Cell[][] {
    return Array.from({ length: this.length }, (_, i) => this.at(i));
  }
}
