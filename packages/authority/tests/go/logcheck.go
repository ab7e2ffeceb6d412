// Command logcheck verifies a published ledger with the Go project's own client of transparency logs.
//
// It holds no hashing, note or proof code of ours: golang.org/x/mod/sumdb/note opens the checkpoints and
// golang.org/x/mod/sumdb/tlog recomputes the tree. What is here only maps file names (tile/8/L/N of Go's
// checksum database is tile/L/N of C2SP tlog-tiles) and decides what is checked: everything.
//
//	logcheck DIRECTORY VKEY HEADS [COSIGNER-VKEY...]
//
// DIRECTORY is one log as it is published, HEADS a directory with every checkpoint that was ever signed.
// For each leaf: its hash from the tiles is that of the entry, and an inclusion proof verifies against the
// published head. For each head: its signature, its root, and a consistency proof to the next one and to the
// published one. Each cosigner must have cosigned the published checkpoint (cosignature/v1).
package main

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const (
	height = 8
	width  = 1 << height
)

type report struct {
	Entries     int64 `json:"entries"`
	Inclusion   int64 `json:"inclusion"`
	Heads       int   `json:"heads"`
	Consistency int   `json:"consistency"`
	Cosigners   int   `json:"cosigners"`
}

func main() {
	if len(os.Args) < 4 {
		fmt.Fprintln(os.Stderr, "usage: logcheck DIRECTORY VKEY HEADS [COSIGNER-VKEY...]")
		os.Exit(2)
	}
	done, err := check(os.Args[1], os.Args[2], os.Args[3], os.Args[4:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "logcheck:", err)
		os.Exit(1)
	}
	json.NewEncoder(os.Stdout).Encode(done)
}

func check(directory, vkey, heads string, cosigners []string) (*report, error) {
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return nil, err
	}
	published, err := openHead(filepath.Join(directory, "checkpoint"), verifier)
	if err != nil {
		return nil, err
	}
	done := &report{}
	if err := checkCosigners(filepath.Join(directory, "checkpoint"), cosigners, done); err != nil {
		return nil, err
	}
	files := files{directory, map[string][]byte{}}
	reader := tlog.TileHashReader(*published, files)
	stored, err := checkEntries(files, *published, reader, done)
	if err != nil {
		return nil, err
	}
	return done, checkHeads(heads, verifier, *published, stored, done)
}

// checkEntries compares each entry with its hash in the tiles, and proves each in the published head.
func checkEntries(files files, head tlog.Tree, reader tlog.HashReader, done *report) (storage, error) {
	var stored storage
	for first := int64(0); first < head.N; first += width {
		wanted := head.N - first
		if wanted > width {
			wanted = width
		}
		entries, err := files.bundle(first/width, wanted)
		if err != nil {
			return nil, err
		}
		var indexes []int64
		for offset, entry := range entries {
			number := first + int64(offset)
			hashes, err := tlog.StoredHashes(number, entry, stored)
			if err != nil {
				return nil, err
			}
			stored = append(stored, hashes...)
			indexes = append(indexes, tlog.StoredHashIndex(0, number))
		}
		tiled, err := reader.ReadHashes(indexes)
		if err != nil {
			return nil, fmt.Errorf("tiles of leaves from %d on: %w", first, err)
		}
		for offset, hash := range tiled {
			if hash != tlog.RecordHash(entries[offset]) {
				return nil, fmt.Errorf("leaf %d: the entry is not the one in the tile", first+int64(offset))
			}
		}
		done.Entries += int64(len(entries))
	}
	for number := int64(0); number < head.N; number++ {
		proof, err := tlog.ProveRecord(head.N, number, stored)
		if err != nil {
			return nil, err
		}
		if err := tlog.CheckRecord(proof, head.N, head.Hash, number, stored[tlog.StoredHashIndex(0, number)]); err != nil {
			return nil, fmt.Errorf("leaf %d: %w", number, err)
		}
		done.Inclusion++
	}
	return stored, nil
}

// checkHeads opens each head that was ever signed and proves that the tree only grew.
func checkHeads(directory string, verifier note.Verifier, last tlog.Tree, stored storage, done *report) error {
	names, err := filepath.Glob(filepath.Join(directory, "*"))
	if err != nil {
		return err
	}
	var heads []tlog.Tree
	for _, name := range names {
		head, err := openHead(name, verifier)
		if err != nil {
			return err
		}
		root, err := tlog.TreeHash(head.N, stored)
		if err != nil {
			return err
		}
		if root != head.Hash {
			return fmt.Errorf("%s: the root at %d leaves is another", name, head.N)
		}
		heads = append(heads, *head)
	}
	sort.Slice(heads, func(i, j int) bool { return heads[i].N < heads[j].N })
	for i, head := range heads {
		later := []tlog.Tree{last}
		if i+1 < len(heads) {
			later = append(later, heads[i+1])
		}
		for _, next := range later {
			proof, err := tlog.ProveTree(next.N, head.N, stored)
			if err != nil {
				return err
			}
			if err := tlog.CheckTree(proof, next.N, next.Hash, head.N, head.Hash); err != nil {
				return fmt.Errorf("from %d to %d leaves: %w", head.N, next.N, err)
			}
			done.Consistency++
		}
	}
	done.Heads = len(heads)
	return nil
}

func openHead(file string, verifier note.Verifier) (*tlog.Tree, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	opened, err := note.Open(data, note.VerifierList(verifier))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) != 4 || lines[0] != verifier.Name() || lines[3] != "" {
		return nil, fmt.Errorf("%s: no checkpoint of %s", file, verifier.Name())
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		return nil, err
	}
	root, err := tlog.ParseHash(lines[2])
	if err != nil {
		return nil, err
	}
	return &tlog.Tree{N: size, Hash: root}, nil
}

// checkCosigners requires the cosignature of each on the published checkpoint.
func checkCosigners(file string, vkeys []string, done *report) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	for _, vkey := range vkeys {
		verifier, err := newCosigner(vkey)
		if err != nil {
			return err
		}
		if _, err := note.Open(data, note.VerifierList(verifier)); err != nil {
			return fmt.Errorf("cosignature of %s: %w", verifier.name, err)
		}
		done.Cosigners++
	}
	return nil
}

// cosigner verifies cosignature/v1 lines (C2SP tlog-cosignature); Go's note package knows plain Ed25519 only.
type cosigner struct {
	name string
	hash uint32
	key  ed25519.PublicKey
}

func newCosigner(vkey string) (*cosigner, error) {
	parts := strings.SplitN(vkey, "+", 3)
	if len(parts) != 3 {
		return nil, errors.New("malformed cosigner key")
	}
	hash, err := strconv.ParseUint(parts[1], 16, 32)
	if err != nil {
		return nil, err
	}
	raw, err := base64.StdEncoding.DecodeString(parts[2])
	if err != nil || len(raw) != 1+ed25519.PublicKeySize || raw[0] != 4 {
		return nil, errors.New("not an Ed25519 cosigner key")
	}
	return &cosigner{parts[0], uint32(hash), raw[1:]}, nil
}

func (c *cosigner) Name() string    { return c.name }
func (c *cosigner) KeyHash() uint32 { return c.hash }
func (c *cosigner) Verify(text, signature []byte) bool {
	if len(signature) != 8+ed25519.SignatureSize {
		return false
	}
	at := binary.BigEndian.Uint64(signature)
	message := fmt.Sprintf("cosignature/v1\ntime %d\n%s", at, text)
	return ed25519.Verify(c.key, []byte(message), signature[8:])
}

// storage is every hash of the tree, in the order in which tlog keeps them.
type storage []tlog.Hash

func (s storage) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	hashes := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		if index >= int64(len(s)) {
			return nil, fmt.Errorf("no hash %d", index)
		}
		hashes[i] = s[index]
	}
	return hashes, nil
}

// files is a published log; a tlog.TileReader.
type files struct {
	directory string
	seen      map[string][]byte
}

func (f files) Height() int                                { return height }
func (f files) SaveTiles(tiles []tlog.Tile, data [][]byte) {}
func (f files) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var all [][]byte
	for _, tile := range tiles {
		// tile/8/L/N[.p/W] without the height
		data, err := f.read("tile" + strings.TrimPrefix(tile.Path(), fmt.Sprintf("tile/%d", height)))
		if err != nil {
			return nil, err
		}
		if len(data) != tile.W*tlog.HashSize {
			return nil, fmt.Errorf("%s has %d bytes", tile.Path(), len(data))
		}
		all = append(all, data)
	}
	return all, nil
}

func (f files) read(name string) ([]byte, error) {
	if data, ok := f.seen[name]; ok {
		return data, nil
	}
	data, err := os.ReadFile(filepath.Join(f.directory, name))
	if err == nil {
		f.seen[name] = data
	}
	return data, err
}

// bundle reads the entries of one bundle: each behind its length as uint16.
func (f files) bundle(number, entries int64) ([][]byte, error) {
	tile := tlog.Tile{H: height, L: 0, N: number, W: int(entries)}
	data, err := f.read("tile/entries" + strings.TrimPrefix(tile.Path(), fmt.Sprintf("tile/%d/0", height)))
	if err != nil {
		return nil, err
	}
	var found [][]byte
	for len(data) > 0 {
		if len(data) < 2 || len(data) < 2+int(binary.BigEndian.Uint16(data)) {
			return nil, fmt.Errorf("bundle %d ends inside an entry", number)
		}
		end := 2 + int(binary.BigEndian.Uint16(data))
		found, data = append(found, data[2:end]), data[end:]
	}
	if int64(len(found)) != entries {
		return nil, fmt.Errorf("bundle %d has %d entries, not %d", number, len(found), entries)
	}
	return found, nil
}
