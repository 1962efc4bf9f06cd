# Drawn by forksim plot; run `gnuplot effect-totals-ipis.gp` in this folder to draw it again.
set terminal svg size 1000,320 font "DejaVu Sans,13" background "white" noenhanced name "effect_totals_ipis"
set output "effect-totals-ipis.svg"
set title "topology: totals.ipis by kernel"
set xlabel "totals.ipis relative to kernel = rpi-4.19-arm64, 95 % interval, 20 seeds"
set logscale x
set xrange [0.3056:10.16]
set xtics ("" 0.4 1, "0.5" 0.5, "" 0.6 1, "" 0.7 1, "" 0.8 1, "" 0.9 1, "1" 1, "2" 2, "" 3 1, "" 4 1, "5" 5, "" 6 1, "" 7 1, "" 8 1, "" 9 1, "10" 10)
set format x "%.4g"
set yrange [0.4:1.6]
set ytics ("mc-4.19-arm64" 1)
set border 3
set tics nomirror
set grid xtics mxtics lt 1 lw 1 lc rgb "#c8c8c8", lt 1 lw 1 lc rgb "#ebebeb"
set arrow from 1, graph 0 to 1, graph 1 nohead lw 1.5 lc rgb "#404040"
set key outside right top vertical Left reverse samplen 1 spacing 1.2
plot "effect-totals-ipis.dat" index 0 using 1:2:3:4 with xerrorbars pt 7 ps 0.8 lw 1.6 lc rgb "#0072b2" title "fork_storm", \
     "effect-totals-ipis.dat" index 1 using 1:2:3:4 with xerrorbars pt 7 ps 0.8 lw 1.6 lc rgb "#d55e00" title "fork_storm_loaded", \
     "effect-totals-ipis.dat" index 2 using 1:2:3:4 with xerrorbars pt 7 ps 0.8 lw 1.6 lc rgb "#009e73" title "make_j4", \
     "effect-totals-ipis.dat" index 3 using 1:2:3:4 with xerrorbars pt 7 ps 0.8 lw 1.6 lc rgb "#cc79a7" title "fork_rate", \
     "effect-totals-ipis.dat" index 4 using 1:2:3:4 with xerrorbars pt 7 ps 0.8 lw 1.6 lc rgb "#e69f00" title "fork_clients"
unset output
set terminal pngcairo size 1000,320 font "DejaVu Sans,13" background "white" noenhanced
set output "effect-totals-ipis.png"
replot
unset output
