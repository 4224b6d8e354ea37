package signal

// tongue is a language that is told from others of its script by its words.
type tongue struct {
	code   string // ISO 639-1
	script script
	// words are its commonest: what grammar needs, and what people write to a
	// machine. marks are letters that few others of its script have.
	words, marks string
}

// tongues are the languages, each list written for this table. At most 64.
var tongues = []tongue{
	{"en", scriptLatin, `the of and to in is that it for was on are as with his they be at have this from or had by but not what all were we when your can
said there use an each which she do how their if will up other about out many then them these so some her would make like him into time has look two more
write go see number no way could people my than first been call who its now find long down day did get come made may part i you he me us our please
thanks thank should why where here very just also because any explain give list tell want need help using between without does after before over don't isn't
following example text question answer sentence word code file error while during still never always something think know good new work
house water food school family children mother father friend city country street car money price company customer email letter book story music film
weather morning evening night week month hour minute small large old young long short high low first last next important different possible want went
going coming made said told asked found left right open close buy sell pay send read learn teach live eat drink sleep walk run drive play start stop
change keep leave again often sometimes usually together almost enough less least much many few own same another each both either whether while
although though since until against among around across along near far behind above below inside outside toward towards upon within list table help
please show how to compare difference meaning history science health doctor problem reason result method project team meeting report plan`, ``},
	{"de", scriptLatin, `der die und in den von zu das mit sich des auf für ist im dem nicht ein eine als auch es an werden aus er hat dass sie nach wird bei einer um am
sind noch wie einem über einen so zum war haben nur oder aber vor zur bis mehr durch man sein wurde sei wenn ich du wir ihr mich mir dir uns euch kann können
muss soll mein meine meinen dein deine kein keine was wer wo warum welche welcher bitte danke schreibe schreib erkläre gib mache machen gibt gut neue jetzt hier
schon immer ihre ihrer seine seinen sehr viel viele gegen ohne zwischen unter während weil beim vom ins diese dieser dieses heute morgen ja nein jahr jahre zeit
frage antwort satz wort beispiel folgende folgenden möchte hätte wäre wurden habe hatte ihnen
haus wasser essen schule familie kinder mutter vater freund freunde stadt land straße auto geld preis firma kunde kunden brief buch geschichte musik
wetter morgen abend nacht woche wochen monat stunde stunden minute klein kleine großen alt junge lang kurz hoch niedrig erste letzte nächste wichtig
wichtige verschieden möglich geht ging kommt kam gemacht gesagt gefragt gefunden links rechts offen kaufen verkaufen bezahlen schicken senden lesen
lernen lehren leben essen trinken schlafen gehen laufen fahren spielen beginnen aufhören ändern behalten wieder oft manchmal zusammen fast genug
weniger eigene anderen beide obwohl seit neben hinter außerhalb innerhalb liste tabelle hilfe zeige vergleiche unterschied bedeutung gesundheit arzt
problem grund ergebnis projekt besprechung bericht plan arbeit mitarbeiter wohnung damit dass dabei dazu daran davon darf dürfen sollte sollten könnte
würde würden etwas alles nichts jemand niemand einige mehrere wegen trotz`, `ßäöü`},
	{"fr", scriptLatin, `le la les de des du un une et à en est que qui dans pour pas au sur ce il elle sont avec plus par je ne se mais ou nous vous ils été cette ces
son sa ses leur leurs tout tous comme si fait être avoir aux même aussi bien sans peut deux entre après avant où dont mon ma mes ton ta tes notre votre j'ai
c'est n'est qu'il d'un d'une l'on moi toi lui y quand quel quelle comment pourquoi parce très ici encore toujours jamais rien peu beaucoup faire dit alors donc
ai as avez avons ont était étaient sera serait peux peuvent veux voudrais écris écrire explique donne donnez merci bonjour s'il plaît oui non phrase mot texte
question réponse exemple temps jour année années chez vers depuis pendant sous chaque autre autres
maison eau école famille enfants mère père ami amis ville pays rue voiture argent prix entreprise client clients lettre livre histoire musique matin
soir nuit semaine mois heure heures minute petit petite grand grande vieux jeune long court haut bas premier première dernier dernière prochain
important différent possible aller allé venir venu dit demandé trouvé gauche droite ouvert acheter vendre payer envoyer lire apprendre vivre manger
boire dormir marcher courir conduire jouer commencer arrêter changer garder souvent parfois ensemble presque assez moins propre même deux tandis bien
que malgré près loin derrière dessus dessous dedans dehors liste tableau aide montre comparer différence sens santé médecin problème raison résultat
projet réunion rapport plan travail logement cela celui celle ceux ainsi afin lorsque puisque quelque quelques certains plusieurs aucun aucune ici
devoir doit dois faut savoir sais voir vois prendre mettre`, `çèêéàùûîôœ`},
	{"es", scriptLatin, `el la los las de del un una y a en es que por para con no se lo su al como más pero sus le ya o este sí porque esta entre cuando muy sin sobre
también me hasta hay donde quien desde todo nos durante todos uno les ni contra otros ese eso ante ellos e esto mí antes algunos qué unos yo otro otras otra él
tanto esa estos mucho quienes nada muchos cual poco ella estar estas algunas algo nosotros mi mis tú te ti tu tus ser son fue era han está están soy eres somos
tiene tengo hacer puede puedo puedes cómo cuál dónde cuándo gracias favor escribe escribir explica dame hola bueno buena nuevo ahora aquí siempre nunca
pregunta respuesta ejemplo palabra frase texto tiempo día días año años había usted ustedes
casa agua comida escuela familia niños madre padre amigo amigos ciudad país calle coche dinero precio empresa cliente clientes carta libro historia
música tiempo mañana tarde noche semana mes hora horas minuto pequeño pequeña grande viejo joven largo corto alto bajo primero primera último última
próximo importante diferente posible ir vino venir dicho preguntado encontrado izquierda derecha abierto comprar vender pagar enviar leer aprender
enseñar vivir comer beber dormir caminar correr conducir jugar empezar parar cambiar guardar menudo veces juntos casi bastante menos propio mismo
ambos aunque cerca lejos detrás encima debajo dentro fuera lista tabla ayuda muestra comparar diferencia significado salud médico problema razón
resultado proyecto reunión informe plan trabajo vivienda cada debe debo deben hay hace hacía vez mientras según además todavía aún así luego entonces
mejor peor`, `ñ¿¡áíóú`},
	{"pt", scriptLatin, `o a os as de do da dos das um uma e em no na nos nas é que para com não se por mais como mas foi ao ele ela tem à seu sua ou ser quando muito há
já está eu também só pelo pela até isso entre era depois sem mesmo aos ter seus quem me esse eles estão você tinha foram essa num nem suas meu às minha têm numa
pelos elas havia seja qual será nós tenho lhe deles essas esses pelas este fosse dele tu te vocês vos lhes meus minhas teu tua nosso nossa dela delas esta estes
estas aquele aquela isto aquilo estou estamos são fazer pode posso porque onde aqui agora sempre nunca obrigado favor escreva escrever explique diga olá bom boa
novo pergunta resposta exemplo palavra frase texto tempo dia dias ano anos
casa água comida escola família crianças mãe pai amigo amigos cidade país rua carro dinheiro preço empresa cliente clientes carta livro história
música manhã tarde noite semana mês hora horas minuto pequeno pequena grande velho jovem longo curto alto baixo primeiro primeira último última
próximo importante diferente possível ir veio vir disse perguntou encontrado esquerda direita aberto comprar vender pagar enviar ler aprender ensinar
viver comer beber dormir andar correr dirigir jogar começar parar mudar guardar vezes juntos quase bastante menos próprio mesma ambos embora perto
longe atrás acima abaixo dentro fora lista tabela ajuda mostre comparar diferença significado saúde médico problema razão resultado projeto reunião
relatório plano trabalho moradia cada deve devo devem preciso precisa quero gostaria quais então ainda assim depois melhor pior uso motorista qualquer
alguém ninguém nenhum alguns algumas`, `ãõçáâêéíóú`},
	{"it", scriptLatin, `il lo la i gli le di del della dei delle dello degli un una uno e è in che per con non si da al alla ai alle nel nella nei nelle sul sulla come
più ma anche sono ha suo sua o questo questa ho se mi ti ci vi lui lei noi voi loro essere stato stata era erano quando dove chi cosa perché molto senza tra fra
dopo prima sempre mai ancora già solo tutto tutti tutte così poi quello quella quelli quelle suoi sue mio mia miei tuo tua nostro nostra hanno abbiamo avere fare
può posso puoi possono devo deve vorrei grazie prego scrivi scrivere spiega dammi ciao buono buona nuovo oggi qui quale quali domanda risposta esempio parola frase
testo tempo giorno giorni anno anni dal dalla c'è dell l'ho nell un'altra ogni altro altri
casa acqua cibo scuola famiglia bambini madre padre amico amici città paese strada macchina soldi prezzo azienda cliente clienti lettera libro storia
musica mattina sera notte settimana mese ora ore minuto piccolo piccola grande vecchio giovane lungo corto alto basso primo prima ultimo ultima
prossimo importante diverso possibile andare venire venuto detto chiesto trovato sinistra destra aperto comprare vendere pagare mandare leggere
imparare insegnare vivere mangiare bere dormire camminare correre guidare giocare cominciare fermare cambiare tenere spesso volte insieme quasi
abbastanza meno proprio stesso entrambi sebbene anche se vicino lontano dietro dentro fuori elenco tabella aiuto mostra confrontare differenza
significato salute medico problema ragione risultato progetto riunione rapporto lavoro alloggio bisogna servono occorre quindi però mentre secondo
inoltre meglio peggio qualche alcuni alcune nessuno ciascuno`, `àèéìòù`},
	{"nl", scriptLatin, `de het een en van in is op te dat die voor met zijn niet aan er om ook als dan maar bij of door over uit naar nog wordt werd worden ze hij zij
wij we je jij ik u mijn jouw uw ons onze hun haar hem mij me wat wie waar wanneer waarom hoe kan kunnen moet moeten zal zou zullen wil willen heeft hebben had was
waren geen meer veel heel goed nieuwe nu hier daar altijd nooit tegen zonder tussen onder tijdens omdat deze dit dus toch wel al toen tot na hebt bent ben
schrijf schrijven leg geef maak maken alsjeblieft dank bedankt ja nee jaar jaren tijd dag dagen vraag antwoord voorbeeld woord zin tekst volgende iemand iets alles
andere eerste weer zo alleen gaat gaan komt
huis water eten school familie kinderen moeder vader vriend vrienden stad land straat auto geld prijs bedrijf klant klanten brief boek geschiedenis
muziek weer ochtend avond nacht week maand uur minuut klein kleine grote oud jong lang kort hoog laag laatste volgende belangrijk verschillend
mogelijk gegaan komen gemaakt gezegd gevraagd gevonden links rechts open kopen verkopen betalen sturen lezen leren leven drinken slapen lopen rijden
spelen beginnen stoppen veranderen houden vaak soms samen bijna genoeg minder eigen dezelfde beide hoewel sinds naast achter boven buiten binnen lijst
tabel hulp laat zien vergelijken verschil betekenis gezondheid arts probleem reden resultaat project vergadering verslag plan werk woning elke ieder
sommige enkele verschillende daarom echter zodat terwijl volgens`, ``},
	{"sv", scriptLatin, `och att det i en som är av för på med den till inte har de om ett han men var jag sig från vi så kan när man ska skulle eller nu sin där än hon
blev mycket då bara alla vid efter under hade mot ut upp in sedan även andra vad mer få kommer hur min ditt din mitt vara också genom varför vilken vilka någon
något några ingen inget här alltid aldrig utan mellan eftersom du ni mig dig oss er dem denna detta dessa blir bli gör göra skriv skriva förklara ge tack hej snälla
ja nej år dag tid fråga svar exempel ord mening text bra ny nya mina dina våra finns fick går igen två tre
hus vatten mat skola familj barn mor far vän vänner stad land gata bil pengar pris företag kund kunder brev bok historia musik väder morgon kväll natt
vecka månad timme minut liten stor gammal ung lång kort hög låg första sista nästa viktig olika möjlig gå kom gjort sagt frågat hittat vänster höger
öppen köpa sälja betala skicka läsa lära leva äta dricka sova springa köra spela börja sluta ändra behålla ofta ibland tillsammans nästan nog mindre
egen samma båda fast sedan bredvid bakom ovanför utanför inne lista tabell hjälp visa jämför skillnad betydelse hälsa läkare problem orsak resultat
projekt möte rapport plan arbete bostad varje alltså därför medan enligt dock borde måste behöver idag igår imorgon ännu kanske`, `åäö`},
	{"da", scriptLatin, `og at det i en som er af for på med den til ikke har de om et han men var jeg sig fra vi så kan når man skal skulle eller nu sin hvor end hun
blev meget da bare alle ved efter under havde mod ud op ind siden også andre hvad mere få kommer hvordan min dit din mit være gennem hvorfor hvilken hvilke nogen
noget nogle ingen intet her altid aldrig uden mellem fordi du I mig dig os jer dem denne dette disse bliver blive gør gøre skriv skrive forklar giv tak hej venligst
ja nej år dag tid spørgsmål svar eksempel ord sætning tekst god ny nye mine dine vores findes fik går igen to tre af hvis kunne ville lige mange selv
hus vand mad skole familie børn mor far ven venner by land gade bil penge pris firma kunde kunder brev bog historie musik vejr morgen aften nat uge
måned time minut lille stor gammel ung lang kort høj lav første sidste næste vigtig forskellige mulig gå kom gjort sagt spurgt fundet venstre højre
åben købe sælge betale sende læse lære leve spise drikke sove løbe køre spille begynde stoppe ændre beholde ofte nogle gange sammen næsten nok mindre
egen samme begge selvom siden bag over udenfor inde liste tabel hjælp vis sammenlign forskel betydning sundhed læge problem grund resultat projekt
møde rapport plan arbejde bolig hver derfor mens ifølge dog burde må skal behøver brug dag aftes går morgen endnu måske hele helt hen`, `æøå`},
	{"no", scriptLatin, `og at det i en som er av for på med den til ikke har de om et han men var jeg seg fra vi så kan når man skal skulle eller nå sin hvor enn hun
ble mye da bare alle ved etter under hadde mot ut opp inn siden også andre hva mer få kommer hvordan min ditt din mitt være gjennom hvorfor hvilken hvilke noen
noe ingen ingenting her alltid aldri uten mellom fordi du dere meg deg oss dem denne dette disse blir bli gjør gjøre skriv skrive forklar gi takk hei vennligst
ja nei år dag tid spørsmål svar eksempel ord setning tekst god bra ny nye mine dine våre finnes fikk går igjen to tre hvis kunne ville mange selv slik
hus vann mat skole familie barn mor far venn venner by land gate bil penger pris firma kunde kunder brev bok historie musikk vær morgen kveld natt uke
måned time minutt liten stor gammel ung lang kort høy lav første siste neste viktig forskjellige mulig gå kom gjort sagt spurt funnet venstre høyre
åpen kjøpe selge betale sende lese lære leve spise drikke sove løpe kjøre spille begynne stoppe endre beholde ofte noen ganger sammen nesten nok
mindre egen samme begge selv om siden bak over utenfor inne liste tabell hjelp vis sammenlign forskjell betydning helse lege problem grunn resultat
prosjekt møte rapport plan arbeid bolig hver derfor mens ifølge likevel burde må trenger dag igår imorgen ennå kanskje hele helt bort`, `æøå`},
	{"fi", scriptLatin, `ja on ei se että oli ovat mutta kun hän niin kuin joka mitä tai myös sen ole vain jos minä sinä me te he minun sinun hänen meidän teidän heidän tämä
tuo nämä nuo siitä tässä siinä mikä kuka missä milloin miksi miten kuinka voi voit voin voivat pitää täytyy haluan haluaisin nyt täällä siellä aina koskaan kanssa
ilman ennen jälkeen koska sitten vielä jo hyvin hyvä uusi paljon enemmän kaikki joku jotain jotka jossa jonka olla olen olet olemme oli olisi kirjoita selitä anna
kiitos hei kyllä vuosi vuotta päivä aika kysymys vastaus esimerkki sana lause teksti kuten sekä eivät ettei hänellä minulla mukaan yli alle noin kaksi yksi
talo vesi ruoka koulu perhe lapset äiti isä ystävä kaupunki maa katu auto raha hinta yritys asiakas kirje kirja historia musiikki sää aamu ilta yö
viikko kuukausi tunti minuutti pieni suuri iso vanha nuori pitkä lyhyt korkea matala ensimmäinen viimeinen seuraava tärkeä erilainen mahdollinen mennä
tulla tehty sanoi kysyi löysi vasen oikea auki ostaa myydä maksaa lähettää lukea oppia opettaa elää syödä juoda nukkua kävellä juosta ajaa pelata
alkaa lopettaa muuttaa usein joskus yhdessä melkein tarpeeksi vähemmän oma sama molemmat vaikka lähellä takana yllä ulkona sisällä luettelo taulukko
apua näytä vertaa ero merkitys terveys lääkäri ongelma syy tulos hanke kokous raportti suunnitelma työ asunto jokainen siksi kuitenkin koko tänään
eilen huomenna ehkä`, `äö`},
	{"pl", scriptLatin, `i w na z do nie się to jest że o jak ale po za od co tak przez dla są był była było być może tym tego jego jej ich już tylko oraz lub czy który
która które którzy kiedy gdzie dlaczego kto ja ty my wy on ona oni mnie mi cię ci nam was mu go sobie bez przed pod nad między podczas ponieważ więc bardzo
dobrze dobry nowy teraz tutaj zawsze nigdy wszystko wszystkie coś ktoś jeszcze więcej także również ma mam masz mają mieć można należy proszę dziękuję napisz
wyjaśnij podaj cześć tak rok lat dzień czas pytanie odpowiedź przykład słowo zdanie tekst ten ta te ze we u jeśli gdy aby żeby potem jako swoje moje twoje
dom woda jedzenie szkoła rodzina dzieci matka ojciec przyjaciel miasto kraj ulica samochód pieniądze cena firma klient list książka historia muzyka
pogoda rano wieczór wieczorem noc tydzień miesiąc godzina minuta mały mała duży stary młody długi krótki wysoki niski pierwszy ostatni następny ważny
różny możliwy iść przyjść zrobił powiedział zapytał znalazł lewo prawo otwarty kupić sprzedać zapłacić wysłać czytać uczyć żyć jeść pić spać chodzić
biegać jechać grać zacząć przestać zmienić często czasami razem prawie dosyć mniej własny sam oba chociaż choć blisko daleko za nad wewnątrz lista
tabela pomoc pokaż porównaj różnica znaczenie zdrowie lekarz problem powód wynik projekt spotkanie raport praca mieszkanie każdy dlatego jednak
podczas według wczoraj dzisiaj dziś jutro potrzebne potrzebuję chcę`, `łąęśżźćń`},
	{"cs", scriptLatin, `a v na je se že s z do o i k to ale jako za by pro po jsou od která který které tak ve si byl byla bylo být už jen nebo také co jak když kde proč
kdo já ty my vy on ona oni mě mi tě ti nás vás mu ho jeho její jejich jsem jsi jsme jste bez před pod nad mezi během protože tedy velmi dobře dobrý nový nyní teď
tady vždy nikdy všechno všechny něco někdo ještě více má mám máš mají mít může můžu lze prosím děkuji napiš napište vysvětli uveď ahoj ano ne rok let den čas otázka
odpověď příklad slovo věta text ten ta tento tato toto tom tím při podle kterou než aby pokud kolik můj moje tvůj
dům voda jídlo škola rodina děti matka otec přítel město země ulice auto peníze cena firma zákazník dopis kniha historie hudba počasí ráno večer noc
týden měsíc hodina minuta malý malá velký starý mladý dlouhý krátký vysoký nízký první poslední další důležitý různý možný jít přijít udělal řekl
zeptal našel vlevo vpravo otevřený koupit prodat zaplatit poslat číst učit žít jíst pít spát běžet jet hrát začít přestat změnit často někdy spolu
téměř dost méně vlastní stejný oba ačkoli blízko daleko nahoře uvnitř seznam tabulka pomoc ukaž porovnej rozdíl význam zdraví lékař problém důvod
výsledek projekt schůzka zpráva plán práce byt každý však během včera dnes zítra potřebuji chci podél zprávu`, `ěřůžščýáíéúťďň`},
	{"sk", scriptLatin, `a v na je sa že s z do o i k to ale ako za by pre po sú od ktorá ktorý ktoré tak vo si bol bola bolo byť už len alebo tiež čo keď kde prečo
kto ja ty my vy on ona oni mňa mi teba ti nás vás mu ho jeho jej ich som si sme ste bez pred pod nad medzi počas pretože teda veľmi dobre dobrý nový teraz
tu vždy nikdy všetko všetky niečo niekto ešte viac má mám máš majú mať môže môžem možno prosím ďakujem napíš napíšte vysvetli uveď ahoj áno nie rok rokov deň čas otázka
odpoveď príklad slovo veta text ten tá tento táto toto tom tým pri podľa ktorú než aby ak koľko môj moje tvoj aj však ako sme bude
dom voda jedlo škola rodina deti matka otec priateľ mesto krajina ulica auto peniaze cena firma zákazník list kniha história hudba počasie ráno večer
noc týždeň mesiac hodina minúta malý malá veľký starý mladý dlhý krátky vysoký nízky prvý posledný ďalší dôležitý rôzny možný ísť prísť urobil povedal
opýtal našiel vľavo vpravo otvorený kúpiť predať zaplatiť poslať čítať učiť žiť jesť piť spať bežať ísť hrať začať prestať zmeniť často niekedy spolu
takmer dosť menej vlastný rovnaký obaja hoci blízko ďaleko hore vnútri zoznam tabuľka pomoc ukáž porovnaj rozdiel význam zdravie lekár problém dôvod
výsledok projekt stretnutie správa plán práca byt každý počas včera dnes zajtra potrebujem chcem správu`, `ľĺŕôäžščýáíéúťďň`},
	{"hu", scriptLatin, `a az és hogy nem is egy van volt ez meg de csak már még ha mint el ki le fel be vagy mert azt ezt itt ott én te ő mi ti ők nekem neked neki engem
téged minden valami valaki mindig soha nagyon jó új most után előtt között alatt nélkül miatt szerint ami aki amely ahol amikor miért hogyan mikor hol mit kell lehet
tud tudok tudsz akar szeretnék lesz lett lenne voltak vannak nincs igen köszönöm kérem kérlek írj írd magyarázd adj szia több sok első két év nap idő kérdés válasz
példa szó mondat szöveg ezek azok ennek annak erre arra olyan ilyen pedig így úgy ezért tehát
ház víz étel iskola család gyerekek anya apa barát város ország utca autó pénz ár cég ügyfél levél könyv történelem zene időjárás reggel este éjszaka
hét hónap óra perc kis kicsi nagy régi öreg fiatal hosszú rövid magas alacsony utolsó következő fontos különböző lehetséges megy jön csinált mondta
kérdezte talált bal jobb nyitott venni eladni fizetni küldeni olvasni tanulni tanítani élni enni inni aludni futni vezetni játszani kezdeni
változtatni gyakran néha együtt majdnem elég kevesebb saját ugyanaz mindkét bár közel messze mögött felett belül lista táblázat segítség mutasd
hasonlítsd különbség jelentés egészség orvos probléma ok eredmény projekt megbeszélés terv munka lakás minden mindegyik azonban közben tegnap ma
holnap szükség szükségem egészen végig mentén`, `őűáéíóöúü`},
	{"ro", scriptLatin, `și în de la cu a nu pe că este un o din pentru care mai se ce sunt fi au al ale lui ei lor sau dar dacă când unde cum cine eu tu el ea noi voi
mă te îl îi ne vă îmi îți meu mea tău ta nostru acest această aceste acel acea era fost avea am ai are avem fără între după înainte peste sub prin către până foarte bine bun
nou acum aici mereu niciodată tot toate toți ceva cineva încă mult mulți multe poate pot poți trebuie vreau aș mulțumesc rog scrie explică dă salut da an ani zi timp
întrebare răspuns exemplu cuvânt propoziție text doar deci astfel fiecare alte alt asta ca să
casă apă mâncare școală familie copii mamă tată prieten oraș țară stradă mașină bani preț firmă client scrisoare carte istorie muzică vreme dimineață
seară noapte săptămână lună oră minut mic mică mare vechi tânăr lung scurt înalt jos primul prima ultimul următor important diferit posibil merge veni
făcut spus întrebat găsit stânga dreapta deschis cumpăra vinde plăti trimite citi învăța trăi mânca bea dormi alerga conduce juca începe opri schimba
păstra des uneori împreună aproape destul puțin propriu același ambele deși departe sus jos înăuntru listă tabel ajutor arată compară diferență sens
sănătate medic problemă motiv rezultat proiect ședință raport plan muncă locuință fiecare totuși ieri astăzi azi mâine nevoie vreau trei`, `șțăâî`},
	{"tr", scriptLatin, `ve bir bu da de için ile çok olarak daha ne gibi var en olan kadar sonra ama o ben sen biz siz onlar beni seni bana sana bize ona onu benim senin
onun bizim mi mı mu mü değil her şey ya veya ki diye nasıl neden niçin nerede zaman kim hangi kaç önce üzerinde arasında altında olduğu oldu olur olması olan
etti eder etmek yapmak yapar yap yaz yazın açıkla ver lütfen teşekkürler merhaba evet hayır yok iyi yeni şimdi burada hep hiç bütün tüm bazı biri şu yıl gün soru
cevap örnek kelime cümle metin ise çünkü ancak fakat göre karşı hakkında içinde nedir misin mısın istiyorum olabilir
ev su yemek okul aile çocuklar çocuk anne baba arkadaş şehir ülke sokak araba para fiyat şirket müşteri mektup kitap tarih müzik hava sabah akşam gece
hafta ay saat dakika küçük büyük eski genç uzun kısa yüksek alçak ilk son sonraki önemli farklı mümkün gitmek gelmek yaptı dedi sordu buldu sol sağ
açık almak satmak ödemek göndermek okumak öğrenmek yaşamak içmek uyumak yürümek koşmak sürmek oynamak başlamak durmak değiştirmek sık bazen birlikte
neredeyse yeterli az kendi aynı ikisi rağmen halde yakın uzak arka üst dışında liste tablo yardım göster karşılaştır fark anlam sağlık doktor sorun
sebep sonuç proje toplantı rapor iş konut dün bugün yarın ihtiyaç istiyorum boyunca üç maalesef treni`, `ışğçöüİ`},
	{"vi", scriptLatin, `và của là có được cho không trong một các với những người để đã này khi từ về đến như tôi bạn anh chị em chúng ta họ nó ở vào ra lại cũng
nhưng hay hoặc thì mà nếu vì nên bởi sẽ đang rất nhiều hơn nhất mới tốt bây giờ đây đó kia nào gì ai đâu sao thế phải cần muốn hãy viết giải thích xin cảm ơn chào
vâng năm ngày câu hỏi trả lời ví dụ từ văn bản trên dưới trước sau giữa cùng theo làm việc biết nói hai ba
nhà nước ăn trường gia đình trẻ con mẹ cha bố thành phố đường xe tiền giá công ty khách hàng thư sách lịch sử nhạc thời tiết sáng chiều tối đêm tuần
tháng giờ phút nhỏ lớn cũ trẻ dài ngắn cao thấp đầu cuối tiếp quan trọng khác đi đến mua bán trả gửi đọc học dạy sống uống ngủ chạy lái chơi bắt đầu
dừng thay đổi thường đôi khi gần xa đủ ít riêng mặc dù phía sau bên ngoài danh sách bảng giúp so sánh nghĩa sức khỏe bác sĩ vấn đề lý do kết quả dự án
họp báo cáo kế hoạch hôm nay qua mai tất cả`, `đăâêôơưạảấầẩẫậắằẳẵặẹẻẽếềểễệỉịọỏốồổỗộớờởỡợụủứừửữựỳỵỷỹ`},
	{"id", scriptLatin, `yang dan di dari untuk dengan ini itu pada ke tidak dalam adalah akan ada saya anda kamu dia kami kita mereka atau juga oleh karena sebagai
tersebut dapat bisa telah sudah lebih seperti jika tetapi tapi namun hanya saat ketika bagaimana mengapa apa siapa kapan mana dimana bahwa antara setelah sebelum
tanpa harus ingin mau tolong terima kasih tulis tuliskan jelaskan berikan buat halo ya bukan belum sangat baik baru sekarang sini selalu pernah semua beberapa
banyak tahun hari waktu pertanyaan jawaban contoh kata kalimat teks orang para satu dua oleh nya lain secara menjadi merupakan
rumah air makanan sekolah keluarga anak ibu ayah bapak teman kota negara jalan mobil uang harga perusahaan pelanggan surat buku sejarah musik cuaca
pagi sore malam minggu bulan jam menit kecil besar lama tua muda panjang pendek tinggi rendah pertama terakhir berikutnya penting berbeda mungkin
pergi datang dibuat berkata bertanya menemukan kiri kanan buka membeli menjual membayar mengirim membaca belajar mengajar hidup makan minum tidur
berjalan berlari menyetir bermain mulai berhenti mengubah menyimpan sering kadang bersama hampir cukup kurang sendiri sama kedua meskipun walaupun
padahal dekat jauh belakang atas bawah luar daftar tabel bantuan tunjukkan bandingkan perbedaan arti kesehatan dokter masalah alasan hasil proyek
rapat laporan rencana pekerjaan setiap kemarin besok perlu butuh tiga`, ``},
	{"hr", scriptLatin, `i u je na se da za od su s a o kao ne što ili koji koja koje sam bi iz do ali te to po nije biti bio bila bilo samo već kada kad gdje zašto kako
tko ja ti mi vi on ona oni mene me tebe te nas vas mu ga njegov njezin njihov si smo ste bez prije poslije pod nad između tijekom jer dakle vrlo dobro dobar novi
sada ovdje uvijek nikad nikada sve svi nešto netko još više ima imam imaš imaju imati može mogu treba molim hvala napiši objasni daj bok da godina godine dan vrijeme
pitanje odgovor primjer riječ rečenica tekst taj ta ovaj ova ovo toga tome pri prema koju nego ako koliko moj moja tvoj također
kuća voda hrana škola obitelj djeca majka otac prijatelj grad zemlja ulica auto novac cijena tvrtka kupac pismo knjiga povijest glazba vrijeme jutro
večer noć tjedan mjesec sat minuta mali mala velik velika star stari mlad dug kratak kratke visok nizak prvi posljednji sljedeći važan različit moguć
ići doći napravio rekao pitao našao lijevo desno otvoren kupiti prodati platiti poslati čitati učiti živjeti jesti piti spavati hodati trčati voziti
igrati početi prestati promijeniti često ponekad zajedno gotovo dovoljno manje vlastiti isti oba iako blizu daleko iza iznad unutra popis tablica
pomoć pokaži usporedi razlika značenje zdravlje liječnik problem razlog rezultat projekt sastanak izvješće plan posao stan svaki međutim jučer danas
sutra trebam želim želi smo bismo bih tri`, `đćčšž`},
	{"sl", scriptLatin, `in je na se da za od so s z v o kot ne kaj ali ki sem bi iz do pa to po ni biti bil bila bilo samo že ko kje zakaj kako kdo jaz ti mi vi on ona
oni mene me tebe te nas vas mu ga njegov njen njihov si smo ste brez pred po pod nad med ker torej zelo dobro dober nov zdaj sedaj tukaj vedno nikoli vse vsi nekaj nekdo
še več ima imam imaš imajo imeti lahko mora morajo treba prosim hvala napiši razloži daj zdravo ja leto let dan čas vprašanje odgovor primer beseda stavek besedilo ta
te tega tem pri proti katero katera kateri če koliko moj moja tvoj tudi bodo bo bom
hiša voda hrana šola družina otroci mati oče prijatelj mesto država ulica avto denar cena podjetje stranka pismo knjiga zgodovina glasba vreme jutro
večer noč teden mesec ura minuta majhen velik velika star stari mlad dolg kratek kratkih visok nizek prvi zadnji naslednji pomemben različen mogoč iti
priti naredil rekel vprašal našel levo desno odprt kupiti prodati plačati poslati brati učiti živeti jesti piti spati hoditi teči voziti igrati začeti
nehati spremeniti pogosto včasih skupaj skoraj dovolj manj lasten isti oba čeprav blizu daleč zadaj nad znotraj seznam tabela pomoč pokaži primerjaj
razlika pomen zdravje zdravnik težava razlog rezultat projekt sestanek poročilo načrt delo stanovanje vsak vendar včeraj danes jutri potrebujem želim
žal treh`, `čšž`},
	{"et", scriptLatin, `ja on ei et see oli ning kui ka aga või ma sa ta me te nad mina sina tema meie teie nende minu sinu mis kes kus millal miks kuidas kas seda selle
selles need nende oma olema olen oled oleme olid oleks võib saab saan pean peab tahan tahaksin nüüd siin seal alati kunagi koos ilma enne pärast sest siis veel juba
väga hea uus palju rohkem kõik keegi midagi mida mille kelle kirjuta selgita anna palun aitäh tere jah aasta aastat päev aeg küsimus vastus näide sõna lause tekst nagu
üks kaks üle alla kõige mitte pole oma järgi kohta
maja vesi toit kool pere lapsed lapse ema isa sõber linn riik tänav auto raha hind firma klient kiri raamat ajalugu muusika ilm hommik õhtu õhtul öö
nädal kuu tund tundi minut väike suur vana noor pikk lühike kõrge madal esimene viimane järgmine tähtis erinev võimalik minema tulema tehtud ütles
küsis leidis vasak parem avatud osta müüa maksta saata lugeda õppida elada süüa juua magada kõndida joosta sõita mängida alustada lõpetada muuta
sageli mõnikord koos peaaegu piisavalt vähem sama mõlemad kuigi lähedal kaugel taga kohal sees nimekiri tabel abi näita võrdle erinevus tähendus
tervis arst probleem põhjus tulemus projekt koosolek aruanne plaan töö korter iga siiski eile täna homme vaja soovin kahjuks mööda kuni kolme`, `õäöü`},
	{"lv", scriptLatin, `un ir ka no uz ar par kas bet tas tā vai to lai pie pēc kā es tu mēs jūs viņš viņa viņi man tev mums jums mani tavs mans šis šī šo tie tās
bija būt esmu esi esam būs nav jau vēl tikai arī ja kad kur kāpēc kurš kura kuri kādēļ cik var varu vari vajag gribu vēlos tagad šeit tur vienmēr nekad bez pirms
starp jo tad ļoti labi labs jauns daudz vairāk visi viss kaut kāds uzraksti paskaidro dod lūdzu paldies sveiki jā nē gads gadu diena laiks jautājums atbilde piemērs
vārds teikums teksts pats savu no līdz caur kopā tādēļ
māja ūdens ēdiens skola ģimene bērni māte tēvs draugs pilsēta valsts iela mašīna nauda cena uzņēmums klients vēstule grāmata vēsture mūzika laiks rīts
vakars vakarā nakts nedēļa mēnesis stunda minūte mazs liels vecs jauns garš īss augsts zems pirmais pēdējais nākamais svarīgs dažāds iespējams iet
nākt darīja teica jautāja atrada kreisi labi atvērts pirkt pārdot maksāt sūtīt lasīt mācīties dzīvot ēst dzert gulēt skriet braukt spēlēt sākt beigt
mainīt bieži dažreiz kopā gandrīz pietiekami mazāk savs pats abi lai gan tuvu tālu aiz virs iekšā saraksts tabula palīdzība parādi salīdzini atšķirība
nozīme veselība ārsts problēma iemesls rezultāts projekts sanāksme ziņojums plāns darbs dzīvoklis katrs tomēr vakar šodien rīt vajadzīgi gribu trīs`, `āēīūķļņģšžč`},
	{"lt", scriptLatin, `ir yra kad į iš su ne tai bet ar kaip o už nuo per prie po apie aš tu mes jūs jis ji jie man tau mums jums mano tavo jo jos jų šis ši tas ta
buvo būti esu esi esame bus nėra jau dar tik taip pat jei kai kur kodėl kuris kuri kurie kiek gali galiu galima reikia noriu norėčiau dabar čia ten visada niekada be
prieš tarp nes todėl labai gerai geras naujas daug daugiau visi viskas kažkas parašyk paaiškink duok prašau ačiū labas ne metai metų diena laikas klausimas atsakymas
pavyzdys žodis sakinys tekstas savo iki kiekvienas kitas kuriuos turi turėti
namas vanduo maistas mokykla šeima vaikai mama tėvas draugas miestas šalis gatvė automobilis pinigai kaina įmonė klientas laiškas knyga istorija
muzika oras rytas vakaras vakare naktis savaitė mėnuo valanda minutė mažas didelis senas jaunas ilgas trumpas aukštas žemas pirmas paskutinis kitas
svarbus skirtingas galimas eiti ateiti padarė sakė klausė rado kairė dešinė atviras pirkti parduoti mokėti siųsti skaityti mokytis gyventi valgyti
gerti miegoti bėgti vairuoti žaisti pradėti baigti keisti dažnai kartais kartu beveik gana mažiau savas pats abu nors arti toli už virš viduje sąrašas
lentelė pagalba parodyk palygink skirtumas reikšmė sveikata gydytojas problema priežastis rezultatas projektas susitikimas ataskaita planas darbas
butas kiekvienas tačiau vakar šiandien rytoj trys`, `ąčęėįšųūž`},
	{"ca", scriptLatin, `el la els les de del dels un una i a en és que per amb no es al als com més però va ha són si aquest aquesta aquests aquestes seu seva o quan on
qui què perquè molt sense sobre també fins hi ho jo tu ell ella nosaltres vosaltres ells em et ens us meu meva teu ser estar era han està estan sóc tinc tenir fer pot puc
pots com quin quina gràcies plau escriu explica dona hola bo bona nou ara aquí sempre mai pregunta resposta exemple paraula frase text temps dia dies any anys altres entre
després abans cada tot tots totes res alguna algun dels doncs així fer l'any d'una s'ha n'hi
casa aigua menjar escola família nens mare pare amic amics ciutat país carrer cotxe diners preu empresa client clients carta llibre història música
matí tarda vespre nit setmana mes hora hores minut petit petita gran vell jove llarg curt alt baix primer primera últim última proper important
diferent possible anar venir dit preguntat trobat esquerra dreta obert comprar vendre pagar enviar llegir aprendre viure beure dormir caminar córrer
conduir jugar començar parar canviar guardar sovint vegades junts gairebé prou menys propi mateix ambdós encara que prop lluny darrere sobre sota dins
fora llista taula ajuda mostra comparar diferència significat salut metge problema raó resultat projecte reunió informe pla feina habitatge avui ahir
demà necessito vull vam va van tres`, `àçèéíòóúï`},
	{"sw", scriptLatin, `na ya wa kwa ni katika za la cha vya kuwa hii huo huu hiyo hizo wake yake wangu yangu wako yako mimi wewe yeye sisi ninyi wao kama lakini au pia
baada kabla bila kati hata sana zaidi watu mtu mtoto nini nani wapi lini kwanini jinsi gani ambayo ambao ambaye alikuwa walikuwa ilikuwa yuko hapa pale sasa kila wote
yote hakuna tafadhali asante andika eleza nipe habari ndiyo hapana mwaka siku wakati swali jibu mfano neno sentensi maandishi nzuri mpya mwingine nyingi ili kwamba kuhusu
kutoka hadi mara moja mbili anaweza unaweza ninataka
nyumba maji chakula shule familia watoto mama baba rafiki mji nchi barabara gari pesa bei kampuni mteja barua kitabu historia muziki hali asubuhi
jioni usiku wiki mwezi saa dakika mdogo mkubwa kubwa ndogo mzee kijana ndefu fupi juu chini kwanza mwisho muhimu tofauti kwenda kuja alifanya alisema
aliuliza kushoto kulia kununua kuuza kulipa kutuma kusoma kujifunza kufundisha kuishi kula kunywa kulala kutembea kukimbia kuendesha kucheza kuanza
kuacha kubadilisha mara nyingi pamoja karibu kutosha kidogo sawa ingawa mbali nyuma ndani nje orodha jedwali msaada onyesha linganisha maana afya
daktari tatizo sababu matokeo mradi mkutano ripoti mpango kazi leo jana kesho nahitaji ninahitaji nataka tatu`, ``},
	{"af", scriptLatin, `die en van in is het 'n dat nie te op vir met aan sy was hy deur om ook as maar by of uit na nog word ons jy ek jou my hulle haar hom u wat wie
waar wanneer waarom hoe kan moet sal sou wil geen meer baie goeie nuwe nou hier daar altyd nooit teen sonder tussen onder omdat hierdie dus tog tot hê gee maak skryf
verduidelik asseblief dankie ja nee jaar jare tyd dag dae vraag antwoord voorbeeld woord sin teks volgende iemand iets alles ander eerste weer so net gaan kom wees gehad
toe al oor dié jul
huis water kos skool familie gesin kinders ma pa vriend vriende stad land straat motor geld prys maatskappy kliënt brief boek geskiedenis musiek weer
oggend aand nag week maand uur minuut klein groot ou jong lank kort hoog laag laaste belangrik verskillende moontlik gegaan kom gemaak gesê gevra
gevind links regs oop koop verkoop betaal stuur lees leer leef eet drink slaap loop ry speel begin ophou verander hou dikwels soms saam amper genoeg
minder eie selfde albei alhoewel naby ver agter bo buite binne lys tabel hulp wys vergelyk verskil betekenis gesondheid dokter probleem rede resultaat
projek vergadering verslag plan werk woning elke egter terwyl gister vandag môre nodig drie`, ``},
	{"tl", scriptLatin, `ang ng sa na mga at ay ko mo siya ito ni para kung hindi ako ikaw ka kami tayo sila niya nila namin natin kanya akin iyo may mayroon wala kaya
dahil pero o rin din lang pa ba po opo paano bakit ano sino saan kailan alin gusto dapat pwede maaari isulat ipaliwanag bigyan salamat kumusta oo hindi taon araw oras
tanong sagot halimbawa salita pangungusap teksto mabuti bago ngayon dito doon lagi lahat ilan marami isang isa dalawa kanyang aking iyong ating mas upang habang nang
maging naging sinabi tao bawat
bahay tubig pagkain paaralan pamilya mga bata nanay tatay kaibigan lungsod bansa kalye kotse pera presyo kumpanya sulat libro kasaysayan musika
panahon umaga gabi kagabi linggo buwan oras minuto maliit malaki luma bata mahaba maikli mataas mababa una huli susunod mahalaga iba posible pumunta
dumating ginawa sinabi tinanong nahanap kaliwa kanan bukas bumili magbenta magbayad magpadala magbasa matuto magturo mabuhay kumain uminom matulog
maglakad tumakbo magmaneho maglaro magsimula tumigil baguhin madalas minsan magkasama halos sapat sarili pareho kahit malapit malayo likod itaas loob
labas listahan talaan tulong ipakita ihambing pagkakaiba kahulugan kalusugan doktor problema dahilan resulta proyekto pulong ulat plano trabaho
kahapon kailangan tatlong`, ``},
	{"ru", scriptCyrillic, `и в не на я что он с как это по но из у за к от о так же для вы бы мы она они его её их был была было были быть мне меня тебя ты вас нас
нам вам ему ей если или когда где почему кто какой какая какие который которая которые чтобы только уже ещё очень хорошо новый сейчас здесь всегда никогда всё все
этот эта эти того чем при до после без между под над во время потому можно нужно может могу можете хочу пожалуйста спасибо напиши напишите объясни дай привет да нет
год лет день время вопрос ответ пример слово предложение текст также более есть том этом
дом вода еда школа семья дети мать отец друг друзья город страна улица машина деньги цена компания клиент письмо книга история музыка погода утро
утром вечер вечером ночь неделя месяц час минута маленький большой старый молодой длинный короткий высокий низкий первый последний следующий важный
разный возможно идти прийти сделал сказал спросил нашёл налево направо открыт купить продать заплатить отправить читать учить жить есть пить спать
бежать ехать играть начать закончить изменить часто иногда вместе почти достаточно меньше свой сам оба хотя близко далеко сзади внутри список таблица
помощь покажи сравни разница значение здоровье врач проблема причина результат проект встреча отчёт план работа квартира каждый однако вчера сегодня
завтра нужен нужны хотел`, `ыэёъ`},
	{"uk", scriptCyrillic, `і в не на я що він з як це по але із у за до від о так же для ви б ми вона вони його її їх був була було були бути мені мене тебе ти вас
нас нам вам йому їй якщо або коли де чому хто який яка які щоб тільки вже ще дуже добре новий зараз тут завжди ніколи все всі цей ця ці того ніж при після без між під
над час тому можна треба може можу можете хочу будь ласка дякую напиши напишіть поясни дай привіт так ні рік років день питання відповідь приклад слово речення текст
також більш та й є цього цьому своє та
дім вода їжа школа сім'я діти мати батько друг друзі місто країна вулиця машина гроші ціна компанія клієнт лист книга історія музика погода ранок
вранці вечір ввечері увечері ніч тиждень місяць година години хвилина малий великий старий старого молодий довгий короткий високий низький перший
останній наступний важливий різний можливо йти прийти зробив сказав запитав знайшов ліворуч праворуч відкритий купити продати заплатити надіслати
читати вчити жити їсти пити спати бігти їхати грати почати закінчити змінити часто іноді разом майже досить менше свій сам обидва хоча близько далеко
ззаду всередині список таблиця допомога покажи порівняй різниця значення здоров'я лікар проблема причина результат проєкт зустріч звіт план робота
квартира кожен однак вчора учора сьогодні завтра потрібен потрібні гуляли хотів`, `іїєґ`},
	{"bg", scriptCyrillic, `и в не на аз че той с как това по но от у за до са се да ли ще ви ние тя те го я ги беше бяха бъде бил съм си сме сте ми ме ти теб вас нас
ако или кога къде защо кой коя кои който която които само вече още много добре нов сега тук винаги никога всичко всички този тази тези след преди без между под над
време защото може мога можете искам моля благодаря напиши напишете обясни дай здравей да година години ден въпрос отговор пример дума изречение текст също повече има
няма при към със във така е като най
къща вода храна училище семейство деца майка баща приятел град страна улица кола пари цена фирма клиент писмо книга история музика време сутрин вечер
нощ седмица месец час минута малък голям стар млад дълъг кратък висок нисък първи последен следващ важен различен възможно отивам идвам направи каза
попита намери ляво дясно отворен купя продам платя изпратя чета уча живея ям пия спя вървя тичам карам играя започвам спирам променя често понякога
заедно почти достатъчно малко свой сам двете въпреки близо далеч зад вътре списък таблица помощ покажи сравни разлика значение здраве лекар проблем
причина резултат проект среща доклад план работа апартамент всеки обаче вчера днес утре трябва нужни искам какви шофьорска`, `ъщ`},
	{"sr", scriptCyrillic, `и у не на ја да он с као то по али од за до су се би ми ви она они га је их био била било бити ме мене тебе ти вас нас ако или када где зашто
ко који која које што само већ још врло добро нови сада овде увек никада све сви овај ова ово после пре без између под над време јер може могу можете хоћу молим хвала
напиши објасни дај здраво да година године дан питање одговор пример реч реченица текст такође више има нема при према са сам си смо сте ће овог тог који
кућа вода храна школа породица деца мајка отац пријатељ град земља улица ауто новац цена фирма купац писмо књига историја музика време јутро вече ноћ
недеља месец сат минут мали велики стар млад дуг кратак висок низак први последњи следећи важан различит могуће ићи доћи урадио рекао питао нашао лево
десно отворен купити продати платити послати читати учити живети јести пити спавати ходати трчати возити играти почети престати променити често
понекад заједно скоро довољно мање свој исти оба иако близу далеко иза изнад унутра списак табела помоћ покажи упореди разлика значење здравље лекар
проблем разлог резултат пројекат састанак извештај план посао стан сваки међутим јуче данас сутра треба желим`, `јћђљњџ`},
	{"mk", scriptCyrillic, `и во не на јас дека тој со како тоа по но од за до се да ли ќе вие ние таа тие го ја ги беше биле биде бил сум си сме сте ми ме ти тебе вас нас
ако или кога каде зошто кој која кои што само веќе уште многу добро нов сега тука секогаш никогаш сè сите овој оваа овие по пред без меѓу под над време затоа може можам
можете сакам ве молам благодарам напиши објасни дај здраво година години ден прашање одговор пример збор реченица текст исто така повеќе има нема при кон е најмногу
куќа вода храна училиште семејство деца мајка татко пријател град земја улица кола пари цена фирма клиент писмо книга историја музика време утро вечер
ноќ недела месец час минута мал голем стар млад долг краток висок низок прв последен следен важен различен можно одам доаѓам направи рече праша најде
лево десно отворен купи продаде плати испрати читам учам живеам јадам пијам спијам одам трчам возам играм почнувам често понекогаш заедно речиси
доволно помалку свој исти двете иако блиску далеку зад внатре список табела помош покажи спореди разлика значење здравје лекар проблем причина
резултат проект состанок извештај план работа стан секој сепак вчера денес утре треба`, `ѓќѕјљњџ`},
	{"be", scriptCyrillic, `і ў не на я што ён з як гэта па але у за да ад аб так жа для вы б мы яна яны яго яе іх быў была было былі быць мне мяне цябе ты вас нас нам вам
яму ёй калі або дзе чаму хто які якая якія каб толькі ужо яшчэ вельмі добра новы цяпер тут заўсёды ніколі усё усе гэты гэтая гэтыя чым пры пасля без паміж пад над час
таму можна трэба можа магу можаце хачу калі ласка дзякуй напішы растлумач дай прывітанне так не год гадоў дзень пытанне адказ прыклад слова сказ тэкст таксама больш ёсць
дом вада ежа школа сям'я дзеці маці бацька сябар горад краіна вуліца машына грошы цана кампанія кліент ліст кніга гісторыя музыка надвор'е раніца
вечар ноч тыдзень месяц гадзіна хвіліна маленькі вялікі стары малады доўгі кароткі высокі нізкі першы апошні наступны важны розны магчыма ісці прыйсці
зрабіў сказаў спытаў знайшоў купіць прадаць заплаціць чытаць вучыць жыць есці піць спаць ехаць гуляць пачаць часта часам разам амаль дастаткова менш
свой сам хоць блізка далёка спіс табліца дапамога пакажы параўнай розніца значэнне здароўе лекар праблема прычына вынік праект сустрэча справаздача
план праца кватэра кожны аднак учора сёння заўтра патрэбны`, `ўіёэы`},
	{"kk", scriptCyrillic, `және бұл мен сен ол біз сіз олар бір үшін де да деп болды болып емес бар жоқ не кім қайда қашан неге қалай қандай осы сол менің сенің оның
біздің өз өте жақсы жаңа қазір мұнда әрқашан барлық көп аз ең бірақ немесе егер содан кейін бұрын арасында туралы бойынша керек болады мүмкін өтінемін рахмет жаз жазыңыз
түсіндір бер сәлем иә жыл күн уақыт сұрақ жауап мысал сөз сөйлем мәтін адам екі үш дейді еді ғана сияқты`, `әғқңөұүһі`},
	{"ar", scriptArabic, `في من على إلى عن أن إن هذا هذه التي الذي كان كانت هو هي لا ما مع كل لم بعد قبل بين حتى عند أو ثم قد لكن كما أنا أنت نحن هم هل كيف لماذا
متى أين ماذا ذلك تلك هناك هنا الآن دائما أبدا جدا جيد جديد أكثر بعض جميع غير منذ خلال تحت فوق دون يمكن يجب أريد من فضلك شكرا اكتب اشرح أعط مرحبا نعم سنة يوم وقت سؤال
جواب مثال كلمة جملة نص و يا لي له لها به بها فيها منها عليه اليوم الناس أي ولا وقد
بيت ماء طعام مدرسة عائلة أطفال أم أب صديق مدينة بلد شارع سيارة مال سعر شركة عميل رسالة كتاب تاريخ موسيقى طقس صباح مساء ليل أسبوع شهر ساعة دقيقة صغير
كبير قديم شاب طويل قصير عال منخفض أول آخر التالي مهم مختلف ممكن ذهب جاء فعل قال سأل وجد يسار يمين مفتوح شراء بيع دفع إرسال قراءة تعلم العيش أكل شرب
نوم مشي جري قيادة لعب بدأ توقف تغيير غالبا أحيانا معا تقريبا كافي أقل نفس كلا رغم قريب بعيد خلف داخل خارج قائمة جدول مساعدة قارن فرق معنى صحة طبيب
مشكلة سبب نتيجة مشروع اجتماع تقرير خطة عمل شقة أمس غدا احتاج أحتاج`, `ةىإأؤئ`},
	{"fa", scriptArabic, `و در به از که این را با است برای آن یک خود تا کرد بر هم نیز می شد شود شده باشد بود اما یا اگر من تو او ما شما آنها چه چرا چگونه کجا کی
کدام همه هر هیچ دیگر پس پیش بعد قبل بین بدون روی زیر باید می توان می کند می شود خواهد کنم کنید کن بنویس بنویسید توضیح بده لطفا ممنون متشکرم سلام بله نه سال روز زمان سوال
پاسخ مثال کلمه جمله متن خیلی خوب جدید اکنون اینجا همیشه هرگز بسیار مردم دو های ها
خانه آب غذا مدرسه خانواده بچه مادر پدر دوست شهر کشور خیابان ماشین پول قیمت شرکت مشتری نامه کتاب تاریخ موسیقی هوا صبح عصر شب دیشب هفته ماه ساعت دقیقه
کوچک بزرگ قدیمی جوان بلند کوتاه بالا پایین اول آخر بعدی مهم متفاوت ممکن رفتن آمدن گفت پرسید خرید فروش پرداخت فرستادن خواندن یاد زندگی خوردن نوشیدن
خوابیدن رفت بازی شروع تغییر اغلب گاهی تقریبا کافی کمتر خودش همان هر دو اگرچه نزدیک دور پشت داخل فهرست جدول کمک نشان مقایسه تفاوت معنی سلامت پزشک مشکل
دلیل نتیجه پروژه جلسه گزارش برنامه کار آپارتمان دیروز امروز فردا نیاز لازم دارم دارد است`, `پچژگکی`},
	{"ur", scriptArabic, `کے کی میں ہے اور سے کا کو اس نے کہ پر یہ ہیں وہ بھی ایک تھا تھی تھے جو لیے نہیں تو ہو گیا کر کیا ہم آپ میرا میری تمہارا ان کچھ جب تک ساتھ بعد پہلے
درمیان بغیر اوپر نیچے چاہیے سکتا سکتے ہوں کرتے کرنا کرنے لکھیں لکھو وضاحت دیں براہ کرم شکریہ سلام جی ہاں سال دن وقت سوال جواب مثال لفظ جملہ متن بہت اچھا نیا اب یہاں ہمیشہ کبھی
کیوں کیسے کہاں کون کب لوگ دو اگر لیکن یا پھر گا گی گے
گھر پانی کھانا اسکول خاندان بچے ماں باپ دوست شہر ملک سڑک گاڑی پیسہ قیمت کمپنی گاہک خط کتاب تاریخ موسیقی موسم صبح شام رات ہفتہ مہینہ گھنٹہ منٹ چھوٹا
بڑا پرانا پرانے جوان لمبا پہلا آخری اگلا اہم مختلف ممکن جانا آنا کہا پوچھا ملا خریدنا بیچنا دینا بھیجنا پڑھنا سیکھنا رہنا پینا سونا چلنا کھیلنا شروع
بدلنا اکثر تقریبا کافی کم اپنا وہی دونوں اگرچہ قریب دور پیچھے اندر باہر فہرست مدد فرق مطلب صحت ڈاکٹر مسئلہ وجہ نتیجہ کام ہر آج کل مجھے ضرورت`, `ٹڈڑںہھے`},
	{"hi", scriptDevanagari, `के की में है और से का को इस ने कि पर यह हैं वह भी एक था थी थे जो लिए नहीं तो हो गया कर क्या हम आप मैं मेरा मेरी तुम उन कुछ जब तक साथ बाद पहले
बीच बिना ऊपर नीचे चाहिए सकता सकते हूँ करते करना करने लिखिए लिखें लिखो समझाइए बताइए दें कृपया धन्यवाद नमस्ते हाँ साल दिन समय सवाल जवाब उदाहरण शब्द वाक्य पाठ बहुत अच्छा नया अब
यहाँ हमेशा कभी क्यों कैसे कहाँ कौन कब लोग दो अगर लेकिन या फिर गा गी गे
घर पानी खाना स्कूल परिवार बच्चे माँ पिता दोस्त शहर देश सड़क गाड़ी पैसा कीमत कंपनी ग्राहक पत्र किताब इतिहास संगीत मौसम सुबह शाम रात हफ्ता महीना घंटा
मिनट छोटा बड़ा पुराना जवान लंबा ऊँचा नीचा पहला आखिरी अगला महत्वपूर्ण अलग संभव जाना आना किया कहा पूछा मिला बायाँ दायाँ खुला खरीदना बेचना देना भेजना
पढ़ना सीखना रहना पीना सोना चलना दौड़ना खेलना शुरू रुकना बदलना अक्सर साथ लगभग काफी कम अपना वही दोनों हालाँकि पास दूर पीछे अंदर बाहर सूची तालिका मदद
दिखाओ तुलना अंतर मतलब स्वास्थ्य डॉक्टर समस्या कारण परिणाम परियोजना बैठक रिपोर्ट योजना काम मकान हर लेकिन आज कल`, ``},
	{"mr", scriptDevanagari, `आहे आणि या हा ही हे ते तो ती की च्या ला ने मध्ये नाही होते होता होती मी तू आम्ही तुम्ही त्या त्यांनी काय कोण कुठे केव्हा का कसे कसा साठी पासून पर्यंत
वर खाली नंतर आधी शिवाय किंवा पण जर तर म्हणून आता इथे नेहमी कधी सर्व काही खूप चांगले नवीन पाहिजे शकतो शकता कृपया धन्यवाद लिहा समजावून सांगा द्या नमस्कार होय वर्ष दिवस वेळ प्रश्न
उत्तर उदाहरण शब्द वाक्य मजकूर एक दोन आहेत असे केले करणे मला तुला आपण माझे`, `ळ`},
	{"ne", scriptDevanagari, `छ र को मा ले हो यो त्यो छन् गर्न लागि पनि एक भने गरेको थियो थिए हुन्छ हुन म तिमी तपाईं हामी उनी उनले के को कहाँ कहिले किन कसरी कुन बाट सम्म माथि तल
पछि अघि बिना वा तर यदि अब यहाँ सधैं कहिल्यै सबै केही धेरै राम्रो नयाँ पर्छ सक्छ सक्नुहुन्छ कृपया धन्यवाद लेख्नुहोस् बताउनुहोस् दिनुहोस् नमस्ते वर्ष दिन समय प्रश्न उत्तर उदाहरण शब्द
वाक्य पाठ मेरो तिम्रो हाम्रो गर्ने भएको हुने छैन गर्छ`, ``},
}
